"""What a running stack tells others, in its data directory: a lock, the chosen settings, the components' state.

``lock`` is held by the supervisor as long as it lives, by flock(2), so a dead one's never stands in the way.
``run.toml`` holds the settings as they were completed, for every other process; ``stack.json`` the components' states.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any

import msgspec
from msgspec import Struct
from pydantic import SecretStr

from config import lock
from config.settings import RUN_FILE, Settings
from stack.credentials import write_private
from stack.errors import AlreadyRunning
from stack.ports import command_line

_STATE = "stack.json"


class ComponentState(Struct, frozen=True, kw_only=True):
    """A component as others see it."""

    name: str
    #: waiting, preparing, starting, healthy, unresponsive, restarting or stopped.
    state: str
    pid: int | None
    #: How often it had to be started again.
    restarts: int
    #: Why it refused to run, when it last did: what to do is in it.
    error: str = ""


class StackState(Struct, frozen=True, kw_only=True):
    """A whole stack as others see it."""

    #: starting, healthy, degraded, stopping or failed.
    state: str
    supervisor: int
    components: tuple[ComponentState, ...]
    #: Why it failed, or what keeps the connector from running; empty otherwise.
    error: str = ""
    #: How many of how many jars are in the cache, while they are fetched.
    jars: tuple[int, int] = (0, 0)


def take_lock(data_dir: Path) -> IO[str]:
    """Make the data directory this process's own until the returned file is closed, or raise AlreadyRunning."""
    taken = lock.take(data_dir)
    if taken is None:
        raise already_running(data_dir)
    return taken


def running(data_dir: Path) -> int | None:
    """The pid of the supervisor that holds the data directory; None if nobody does."""
    return lock.holder(data_dir)


def already_running(data_dir: Path) -> AlreadyRunning:
    """The error of a second start."""
    pid = running(data_dir)
    return AlreadyRunning(
        f"{data_dir} belongs to a running stack: pid {pid} ({command_line(pid or 0)}); "
        "stop it with `./readside down`, or choose another --data-dir"
    )


#: Where a command is started from says who gives it and which key there is: a token in a file would be everybody's.
_KEPT_OUT = {"data_dir", "jwt_key", "token"}


def publish_settings(settings: Settings) -> None:
    """Write the run file; `Settings` reads it."""
    values: dict[str, Any] = {name: getattr(settings, name) for name in type(settings).model_fields}
    plain = {name: _plain(value) for name, value in values.items() if value is not None and name not in _KEPT_OUT}
    # A JSON string, number, boolean or list is written the same in TOML.
    write_private(settings.data_dir / RUN_FILE, "".join(f"{name} = {json.dumps(plain[name])}\n" for name in plain))


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return str(value)
    return value if isinstance(value, str | int | float | bool) else list(value)


def publish(data_dir: Path, state: StackState) -> None:
    """Replace the state file."""
    write_private(data_dir / _STATE, msgspec.json.format(msgspec.json.encode(state)).decode() + "\n")


def read(data_dir: Path) -> StackState | None:
    """The state that the last stack of this data directory told; None if there was none."""
    try:
        return msgspec.json.decode((data_dir / _STATE).read_bytes(), type=StackState)
    except FileNotFoundError:
        return None


def changed(state: StackState, /, **changes: object) -> StackState:
    """The state with some fields replaced."""
    return msgspec.structs.replace(state, **changes)


def forget(data_dir: Path) -> None:
    """Remove what an earlier stack told."""
    (data_dir / _STATE).unlink(missing_ok=True)
    withdraw(data_dir)


def withdraw(data_dir: Path) -> None:
    """Remove the run file: its addresses answer no more."""
    (data_dir / RUN_FILE).unlink(missing_ok=True)

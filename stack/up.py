"""Starts a native stack, waits for it, and stops it: what the commands ``up`` and ``down`` and the tests call."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from config.environment import environment_of
from config.settings import Settings
from stack import state
from stack.configuration import require_usable
from stack.errors import ComponentFailed, NotRunning
from stack.process import spawn, tail
from stack.state import StackState

START_TIMEOUT_S = 300.0  # a first start downloads 60 MB, over whatever line there is
_STOP_TIMEOUT_S = 90.0
_LOOK_S = 0.05
_HOPELESS_S = 5.0  # for which the connector says that it cannot run, after which a start is given up
_REFUSALS = 3  # of a component that says going on would be wrong, after which a start is given up

Show = Callable[[StackState], None]


def start(settings: Settings, *, only: str = "", ports: str = "fixed", detach: bool = True) -> subprocess.Popen[bytes]:
    """Start the supervisor of a stack in ``settings.data_dir``; `wait_healthy` tells when the stack works.

    A detached one outlives us; otherwise it and its components end with the calling thread, whatever happens to us.
    Raises AlreadyRunning when the data directory belongs to a running stack, StackError for settings that a server refuses.
    """
    require_usable(settings)
    settings = settings.model_copy(update={"data_dir": settings.data_dir.resolve()})
    if state.running(settings.data_dir) is not None:
        raise state.already_running(settings.data_dir)
    state.forget(settings.data_dir)
    command = [sys.executable, "-m", "stack.run", only, ports]
    log = log_file(settings.data_dir)
    if not detach:
        return spawn(command, log=log, cwd=Path.cwd(), env=environment_of(settings))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=environment_of(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def wait_healthy(
    data_dir: Path,
    *,
    timeout_s: float = START_TIMEOUT_S,
    show: Show = lambda _state: None,
    supervisor: subprocess.Popen[bytes] | None = None,
) -> StackState:
    """Wait until every component is healthy; ``show`` is called with each state seen on the way.

    ``supervisor`` is what `start` gave, if we started it: its end is then noticed at once.
    Raises ComponentFailed with the stack's own explanation when it gave up, or when the time is over.
    """
    deadline = time.monotonic() + timeout_s
    well_at = time.monotonic()
    while True:
        now = state.read(data_dir)
        if now is None or not now.error:
            well_at = time.monotonic()
        if now is not None:
            show(now)
            if now.state == "healthy":
                return now
            if now.state == "failed":
                raise ComponentFailed(now.error)
            refused = [
                f"{each.name}: {each.error}" for each in now.components if each.error and each.restarts >= _REFUSALS
            ]
            if supervisor is not None and refused:
                raise ComponentFailed("\n".join(refused))
            if supervisor is not None and time.monotonic() - well_at > _HOPELESS_S:
                raise ComponentFailed(now.error)
        if time.monotonic() > deadline:
            raise ComponentFailed(_not_healthy(data_dir, now, timeout_s))
        if supervisor is not None and supervisor.poll() is not None:
            raise ComponentFailed(f"the stack ended by itself; its log ends:\n{tail(log_file(data_dir))}")
        time.sleep(_LOOK_S)


def stop(data_dir: Path) -> None:
    """Stop the stack and wait until nothing of it is left. Raises NotRunning when there is none."""
    pid = state.running(data_dir)
    if pid is None:
        raise NotRunning(f"no stack runs in {data_dir}; start one with `./readside up`, or name another --data-dir")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while state.running(data_dir) is not None:
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # and the kernel ends what it has started
        time.sleep(_LOOK_S)


def log_file(data_dir: Path) -> Path:
    """Where the supervisor of this data directory writes."""
    return data_dir / "logs" / "supervisor.log"


def _not_healthy(data_dir: Path, now: StackState | None, timeout_s: float) -> str:
    if now is None:
        return f"no stack runs in {data_dir}; start one with `./readside up`, or name another --data-dir"
    behind = ", ".join(
        f"{each.name} is {each.state} {each.error}".strip() for each in now.components if each.state != "healthy"
    )
    return (
        f"not healthy after {timeout_s:.0f} s: {behind or now.state}; {now.error}\nthe logs are in {data_dir / 'logs'}"
    )

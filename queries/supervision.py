"""What the native stack's supervisor notes of the processes that it runs, and what those say that they wait for."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from config import lock
from config.settings import Settings

WAITED_S = 5.0  # after which what a process said it waits for is no news
_LAST_BYTES = 16_384
#: By component: its log, and the action of its line that says what it waits for.
_WAITING = {
    "projector-serving": ("projector-serving.log", "projector_waits"),
    "projector-analytics": ("projector-analytics.log", "projector_waits"),
    "connector": ("supervisor.log", "connector_waits"),
}


class Supervised(msgspec.Struct, frozen=True):
    """A component as the native stack's supervisor notes it in stack.json."""

    name: str
    #: As `stack.state.ComponentState` has it.
    state: str = ""
    pid: int | None = None
    restarts: int = 0
    #: Why it refused to run, when it last did.
    error: str = ""
    #: What it waits for, as its log says; empty when that was some time ago.
    waits: str = ""
    #: Whether the supervisor that noted this still runs.
    supervised: bool = True

    @property
    def running(self) -> bool:
        """Whether the process is there now."""
        if self.pid is None:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it is there, and another user's
            return True
        return True

    @property
    def halted(self) -> list[int]:
        """Those of the process and all that it has started that a signal has stopped."""
        if self.pid is None:
            return []
        found = _processes()
        family = [self.pid]
        for each in family:
            family += [child for child, (_state, parent) in found.items() if parent == each]
        return [each for each in family if found.get(each, ("", 0))[0] == "T"]

    def silence(self, fault: str) -> str:
        """Why it does not answer, by what its process does, and what to do."""
        log = f"see its log, {self.name}.log"
        if not self.running and not self.supervised:
            return "no stack runs in this data directory; start it: `readside up --detach`"
        if not self.running:
            return f"is not running; the supervisor starts it again; {log}"
        if halted := self.halted:
            return f"its process is stopped and does nothing; let it go on: `kill -CONT {' '.join(map(str, halted))}`"
        if self.state == "starting" and self.restarts:
            return f"ended and is started again, for the {self.restarts}. time; {log}"
        return f"does not answer ({fault}), though its process runs: it hangs, or the way to it is cut; {log}"


def _processes() -> dict[int, tuple[str, int]]:
    """The state and the parent of each process of this machine; nothing where this is no Linux."""
    found: dict[int, tuple[str, int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            found[int(stat.parent.name)] = state, int(parent)
    return found


class _Said(msgspec.Struct):
    at: datetime
    message: str


class _StackFile(msgspec.Struct):
    components: list[Supervised]
    error: str = ""


def supervised(settings: Settings) -> dict[str, Supervised]:
    """What the native stack's supervisor notes of each component and of the connector; nothing where another runs them."""
    path = settings.data_dir / "stack.json"
    if not path.exists():
        return {}
    noted = msgspec.json.decode(path.read_bytes(), type=_StackFile)
    # The connector lives in Connect; its supervision is a thread of the supervisor.
    named = (*noted.components, Supervised(name="connector", error=noted.error))
    logs = settings.data_dir / "logs"
    lives = lock.holder(settings.data_dir) is not None
    return {each.name: msgspec.structs.replace(each, waits=_waits(logs, each.name), supervised=lives) for each in named}


def _waits(logs: Path, name: str) -> str:
    """The last word of a process of ours that waits for another, if it was said just now: our own, without values."""
    file, action = _WAITING.get(name, ("", ""))
    try:
        with (logs / file).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_BYTES))
            lines = log.read().splitlines()
    except OSError:  # it is nobody we ask, or it has said nothing yet
        return ""
    newest = datetime.now(UTC) - timedelta(seconds=WAITED_S)
    for line in reversed(lines):
        if b'"%s"' % action.encode() in line:
            with contextlib.suppress(msgspec.MsgspecError):
                said = msgspec.json.decode(line, type=_Said)
                return " ".join(said.message.split()) if said.at > newest else ""
    return ""

"""What chaos does to a running stack: ends a process, halts it for a while, or cuts the connector off from its source.

It touches only processes that the stack's own state names, and each by its pid.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

import psycopg

from config.settings import Settings
from stack import state
from stack.errors import ComponentFailed

Kind = Literal["kill", "pause", "cut"]

_NOTICED_S = 20.0  # until the supervisor has seen that a process is gone
_LOOK_S = 0.02
_PAUSE_MOST_S = 3.0
_KINDS: tuple[Kind, ...] = ("kill", "kill", "pause")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    component: str
    kind: Kind  #: kill: SIGKILL; pause: SIGSTOP, later SIGCONT; cut: the connector's walsender is ended
    seconds: float = 0.0  #: how long a pause lasts

    def __str__(self) -> str:
        match self.kind:
            case "kill":
                return f"SIGKILL {self.component}"
            case "pause":
                return f"SIGSTOP {self.component} for {self.seconds:.1f} s"
            case "cut":
                return "pg_terminate_backend of the walsender"


def chosen(random: Random, components: Sequence[str]) -> Fault:
    """Any fault of any component."""
    component = random.choice(components)
    kind = random.choice((*_KINDS, "cut", "cut") if component == "postgres" else _KINDS)
    return Fault(component, kind, random.uniform(0.3, _PAUSE_MOST_S) if kind == "pause" else 0.0)


def inflict(settings: Settings, fault: Fault, stop: threading.Event) -> None:
    """Make it happen; returns when it has, and is over for what is only a pause. ``stop`` ends a pause early."""
    if fault.kind == "cut":
        cut(settings)
    elif fault.kind == "kill":
        kill(settings, fault.component)
    else:
        _pause(_pid(settings, fault.component), fault.seconds, stop)


def kill(settings: Settings, component: str) -> None:
    """SIGKILL; returns when the supervisor has noticed."""
    pid = _pid(settings, component)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + _NOTICED_S
    while _pid_now(settings, component) == pid:
        if time.monotonic() > deadline:
            raise ComponentFailed(f"the supervisor does not notice that {component} (pid {pid}) was killed")
        time.sleep(_LOOK_S)


def cut(settings: Settings) -> bool:
    """End the session that streams the slot; False when there is none at the moment."""
    assert settings.admin_dsn is not None
    try:
        with psycopg.connect(settings.admin_dsn.get_secret_value(), autocommit=True) as admin:
            row = admin.execute(
                """
                select pg_terminate_backend(active_pid)
                  from pg_replication_slots
                 where slot_name = %(slot)s and active_pid is not null
                """,
                {"slot": settings.slot},
            ).fetchone()
    except psycopg.OperationalError:
        return False
    return row is not None and bool(row[0])


def _pause(pid: int, seconds: float, stop: threading.Event) -> None:
    halted = [(each, born) for each in (pid, *_descendants(pid)) if (born := _born(each))]
    try:
        for each, _ in halted:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)
        stop.wait(seconds)
    finally:
        for each, born in halted:
            if _born(each) == born:  # not a stranger that got the pid of one that has ended
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGCONT)


def _pid(settings: Settings, component: str) -> int:
    deadline = time.monotonic() + _NOTICED_S
    while (pid := _pid_now(settings, component)) is None:
        if time.monotonic() > deadline:
            raise ComponentFailed(f"{component} does not run; see `readside status`")
        time.sleep(_LOOK_S)
    return pid


def _pid_now(settings: Settings, component: str) -> int | None:
    told = state.read(settings.data_dir)
    return next((each.pid for each in told.components if each.name == component), None) if told else None


def _descendants(pid: int) -> list[int]:
    children = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _parent(entry) == pid]
    return children + [each for child in children for each in _descendants(child)]


def _parent(process: Path) -> int | None:
    fields = _stat(process)
    return int(fields[1]) if fields else None


def _born(pid: int) -> str:
    """When a process started, in the kernel's own count; empty when it is gone."""
    fields = _stat(Path("/proc") / str(pid))
    return fields[19] if fields else ""


def _stat(process: Path) -> list[str]:
    with suppress(OSError):
        return (process / "stat").read_text().rpartition(")")[2].split()
    return []

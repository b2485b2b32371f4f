"""Child processes: started in their own process group, never outliving the supervisor, stopped with a deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from config.environment import bare_environment

_LAUNCH = Path(__file__).with_name("launch.py")


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    user: str = "",
) -> subprocess.Popen[bytes]:
    """Start a program that dies with the calling thread; its output is appended to the log file.

    Without an ``env`` it gets ours, less our settings and their secrets.

    Call it from a thread that lives as long as the child is to: the kernel ties the child's life to the thread.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            launched(command, user=user),
            cwd=cwd,
            env=bare_environment() if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def launched(command: Sequence[str | Path], *, user: str = "") -> list[str]:
    """The command line that starts a program which dies with us and, when a user is named, runs as that user."""
    return [sys.executable, "-I", "-S", *(str(part) for part in (_LAUNCH, os.getpid(), user, *command))]


def stop(process: subprocess.Popen[bytes], polite: signal.Signals = signal.SIGTERM, *, timeout_s: float = 20.0) -> bool:
    """Ask the process to end, then end its whole group; True if asking was enough."""
    if process.poll() is None:
        process.send_signal(polite)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        kill(process)
        return False
    kill(process)  # what it may have left in its group
    return True


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and its group at once."""
    # No such group any more; macOS says PermissionError for a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def tail(log: Path, *, lines: int = 8, limit_bytes: int = 8_192) -> str:
    """The last lines of a log, to stand beneath an error message."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - limit_bytes))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

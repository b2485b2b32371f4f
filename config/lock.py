"""The lock of a data directory: whoever runs a stack in it holds the lock as long as it lives, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

_FILE = "lock"
_PATIENCE_S = 1.0  # longer than anybody's look at the lock takes


def take(data_dir: Path) -> IO[str] | None:
    """Hold the lock until the returned file is closed; None if somebody else holds it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    file = (data_dir / _FILE).open("a+")
    deadline = time.monotonic() + _PATIENCE_S
    while not _try(file, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            file.close()
            return None
        time.sleep(0.02)
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def holder(data_dir: Path) -> int | None:
    """The pid of the process that holds the lock; None if nobody does."""
    try:
        with (data_dir / _FILE).open() as file:
            return None if _try(file, fcntl.LOCK_SH) else int(file.read() or 0)
    except FileNotFoundError:
        return None


def _try(file: IO[str], operation: int) -> bool:
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

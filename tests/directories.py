"""Directories for what tests start: gone with their test, or, when that was killed, with the next run's beginning."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "readside-"
_LOCK = ".test"
_MEMORY, _ROOM = Path("/dev/shm"), 4 << 30  # bytes that must be free there; in a container there may be 64 MB


@contextmanager
def temporary(name: str, *, in_memory: bool = False) -> Generator[Path]:
    """An empty directory, removed at the end of the block; processes that work in it must have ended by then.

    ``in_memory``: where files are made and removed at no cost, if there is such a place and it is large enough.
    """
    roomy = in_memory and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM
    path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{name}-", dir=_MEMORY if roomy else None))
    with (path / f"{_LOCK}.new").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (path / f"{_LOCK}.new").rename(path / _LOCK)  # nobody sees it unlocked while we live
        try:
            yield path
        finally:
            shutil.rmtree(path)


def remove_abandoned() -> None:
    """Remove those of processes that were killed; what they had started ended with them."""
    for path in (*Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"), *_MEMORY.glob(f"{_PREFIX}*")):
        with suppress(OSError), (path / _LOCK).open() as lock:
            if os.fstat(lock.fileno()).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)

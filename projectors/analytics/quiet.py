"""Keeps a process's calls of DuckDB and its forks apart.

A fork copies the memory of all threads and lets one of them go on. What another thread was about to change in DuckDB, it
would leave half changed and locked for ever in the copy.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager


class Quiet:
    """Lets any number of calls run at once, or one fork alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls = 0
        self._wanted = 0  # forks that wait or run: new calls let them go first, or a busy store would never be quiet

    @contextmanager
    def calling(self) -> Generator[None]:
        """A call of DuckDB, as short as can be."""
        with self._changed:
            self._changed.wait_for(lambda: not self._wanted)
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    @contextmanager
    def forking(self, timeout_s: float) -> Generator[bool]:
        """A fork, once no call runs; yields False when one ran for too long. Not for two threads at once."""
        with self._changed:
            self._wanted += 1
            quiet = self._changed.wait_for(lambda: not self._calls, timeout_s)
        try:
            yield quiet
        finally:
            with self._changed:
                self._wanted -= 1
                self._changed.notify_all()

"""How fast changes are applied."""

from __future__ import annotations

import time
from collections.abc import Callable

_WINDOW_S = 5.0


class Rate:
    """Changes per second over the last few seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: list[tuple[float, int]] = []

    def add(self, count: int) -> None:
        """Count these, now."""
        now = self._clock()
        self._counts.append((now, count))
        while self._counts[0][0] < now - _WINDOW_S:
            self._counts.pop(0)

    def per_second(self) -> float:
        """The rate by now."""
        return sum(count for _, count in self._counts) / _WINDOW_S

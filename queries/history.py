"""The last hour of the pipeline, in memory that does not grow: one row of figures for every five seconds."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, TypeAlias

from queries.freshness import Measured
from queries.pipeline import Health, State

EVERY_S = 5
KEPT_S = 3600

Figure: TypeAlias = float | State | None

_WORST: tuple[State, ...] = ("unknown", "ok", "degraded", "down")


class History:
    """Rows of the same figures. Each stands for five seconds: the largest of a figure, and the worst state, in them."""

    def __init__(self) -> None:
        self._rows: deque[tuple[int, dict[str, Figure]]] = deque(maxlen=KEPT_S // EVERY_S)
        self._lock = threading.Lock()

    def add(self, at_s: float, figures: Mapping[str, Figure]) -> None:
        """Take in what was seen at ``at_s``, in seconds since 1970; a clock that was set back ends what was before."""
        slot = int(at_s) // EVERY_S * EVERY_S
        with self._lock:
            while self._rows and self._rows[-1][0] > slot:
                self._rows.pop()
            row = self._rows.pop()[1].copy() if self._rows and self._rows[-1][0] == slot else {}
            for name, figure in figures.items():
                row[name] = _larger(row.get(name), figure)
            self._rows.append((slot, row))  # a copy: whoever reads has the old one in hand

    def to_json(self, at_s: float) -> dict[str, Any]:
        """By column: the times, and under each name what was seen at them; null for nothing."""
        with self._lock:
            rows = [row for row in self._rows if row[0] > at_s - KEPT_S]
        names = dict.fromkeys(name for _, figures in rows for name in figures)
        return {
            "every_s": EVERY_S,
            "at": [slot for slot, _ in rows],
            "series": {name: [figures.get(name) for _, figures in rows] for name in names},
        }


def figures_of(health: Health, freshness: Measured) -> dict[str, Figure]:
    """What is kept of one look."""
    figures: dict[str, Figure] = {"freshness.p50_ms": freshness.p50_ms, "freshness.p99_ms": freshness.p99_ms}
    for hop in health.hops:
        figures |= {
            f"{hop.name}.state": hop.state,
            f"{hop.name}.rate": None if hop.rate is None else round(hop.rate, 1),
            f"{hop.name}.lag_seconds": hop.lag_seconds,
            f"{hop.name}.lag_changes": hop.lag_changes,
        }
        retained = hop.figures.get("retained_bytes")
        if isinstance(retained, int):
            figures[f"{hop.name}.retained_bytes"] = retained
    return figures


def _larger(one: Figure, other: Figure) -> Figure:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, str) or isinstance(other, str):
        return max(one, other, key=lambda state: _WORST.index(state) if state in _WORST else -1)
    return max(one, other)

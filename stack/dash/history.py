"""The last looks at each hop, for its sparklines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from queries.pipeline import Health

_BARS = "▁▂▃▄▅▆▇█"
_LOOKS = 240  # the widest sparkline


class History:
    """Rate and lag of each hop, look by look; None where a look did not learn it."""

    def __init__(self) -> None:
        self._rates: dict[str, deque[float | None]] = {}
        self._lags: dict[str, deque[float | None]] = {}

    def add(self, health: Health) -> None:
        """Remember one look."""
        for hop in health.hops:
            self._rates.setdefault(hop.name, deque(maxlen=_LOOKS)).append(hop.rate)
            self._lags.setdefault(hop.name, deque(maxlen=_LOOKS)).append(hop.lag_seconds)

    def rates(self, hop: str) -> Sequence[float | None]:
        """Changes per second, oldest first."""
        return tuple(self._rates.get(hop, ()))

    def lags(self, hop: str) -> Sequence[float | None]:
        """Seconds, oldest first."""
        return tuple(self._lags.get(hop, ()))


def sparkline(values: Sequence[float | None], width: int, *, least_top: float) -> str:
    """The last ``width`` values as bars from zero, newest at the right; a blank where nothing was learned.

    The highest bar is the largest value shown, or ``least_top`` where all are smaller: what is small looks small.
    """
    shown = list(values)[-width:] if width > 0 else []
    top = max(_known(shown), default=0.0)
    top = max(top, least_top)
    bars = [" " if value is None else _BARS[min(len(_BARS) - 1, int(value / top * len(_BARS)))] for value in shown]
    return "".join(bars).rjust(width)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]

"""How old what is readable was when it became so: the source's commit → its commit in the serving store being heard here.

Of the commits of the last minute, at most twenty a second. Nothing is written for it: they are the pipeline's own.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

WINDOW_S = 60.0
EVERY_S = 0.05  # between two commits that are asked about: each is a statement on the connection that hears them
_MOST = int(WINDOW_S / EVERY_S)

_STANDS = """
    select end_lsn::text, committed_at, changes
      from readside.checkpoint
     where store = 'serving'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The last minute. A store's commit counts with the last source transaction in it."""

    #: None without a commit.
    p50_ms: float | None
    p99_ms: float | None
    #: Commits that brought changes, and those that brought only the pulse of an idle source.
    changes: int
    pulses: int
    #: By how much the source's clock is ahead of this machine's, where it shows: the figures are that much too low.
    clock_ahead_ms: float


@dataclass(frozen=True, slots=True)
class _Commit:
    heard: float  # monotonic
    age_ms: float  # negative where the source's clock is ahead
    pulse: bool


class Freshness:
    """Collects measurements on the thread that hears commits; ``last_minute`` may be called from any."""

    def __init__(self) -> None:
        self._commits: deque[_Commit] = deque(maxlen=_MOST)
        self._lock = threading.Lock()
        self._asked = 0.0
        self._changes: int | None = None
        self._end_lsn = ""

    def hear(self, conn: psycopg.Connection[tuple[object, ...]], end_lsn: str) -> None:
        """A commit that brought the store to ``end_lsn`` was heard just now; ``conn`` may be asked about it."""
        at, heard = datetime.now(UTC), time.monotonic()
        if heard - self._asked < EVERY_S:
            return
        self._asked = heard
        row = conn.execute(_STANDS).fetchone()
        if row is None:
            return
        stands, committed_at, changes = row
        # When the store has moved on meanwhile, what was heard is not what is shown; the next one is asked about again.
        if stands == end_lsn and isinstance(committed_at, datetime) and isinstance(changes, int):
            self.add(end_lsn, (at - committed_at).total_seconds() * 1000, changes, heard)

    def add(self, end_lsn: str, age_ms: float, changes: int, heard: float) -> None:
        """Take one in; ``changes``: applied since ever. The same position again is no commit of the source."""
        before, self._changes = self._changes, changes
        if end_lsn == self._end_lsn:
            return
        self._end_lsn = end_lsn
        with self._lock:
            self._commits.append(_Commit(heard, age_ms, pulse=changes == before))

    def last_minute(self) -> Measured:
        """What there is to say now."""
        since = time.monotonic() - WINDOW_S
        with self._lock:
            commits = [commit for commit in self._commits if commit.heard >= since]
        ages = sorted(max(0.0, commit.age_ms) for commit in commits)
        pulses = sum(commit.pulse for commit in commits)
        return Measured(
            p50_ms=_share(ages, 0.5),
            p99_ms=_share(ages, 0.99),
            changes=len(commits) - pulses,
            pulses=pulses,
            clock_ahead_ms=round(max((-commit.age_ms for commit in commits if commit.age_ms < 0), default=0.0), 1),
        )


def _share(ordered: Sequence[float], share: float) -> float | None:
    """The value below which this share of the values lies."""
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1) if ordered else None

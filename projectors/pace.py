"""When a projector reads, takes a batch, and looks around; no I/O.

A backlog comes in pieces as large as a fetch, its topics one after the other. Batches of a store are the cheaper the larger
they are: so the pieces are gathered, and reading goes on while a batch is applied.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from cdc.reader import Record

LOOK_S = 0.5  #: least seconds between two looks for what operators ask of dead letters
LOOK_AMID_S = 2.0  #: most seconds for which batches follow one another without anybody looking what is asked
_MANY = 1_000  # records at once: more are at hand
_LARGE = 256 * 1024  # bytes at once: so are they, of wide rows
_GATHER_S = 0.5  # longest that a store with nothing to do is left waiting for more
_GATHERED = 10_000  # changes at which a store that has nothing to do is not left waiting for a larger batch
_MORE_S = 0.01  # how long to wait for records when there is something to do without them
_LONGEST_S = 0.5


class UnderWay(Protocol):
    """The batches that are being applied (applying.Applying)."""

    @property
    def idle(self) -> bool:
        """There are none."""
        ...

    @property
    def full(self) -> bool:
        """There may be no more of them."""
        ...


class Pace:
    """That of one projector's stream."""

    def __init__(self, *, batch_changes: int, buffered_changes: int, interval_s: float) -> None:
        """``batch_changes``: most changes of a batch; ``buffered_changes``: as many may wait for the rest of their
        transactions; ``interval_s``: least time between two commits."""
        self._batch_changes = batch_changes
        self._buffered_changes = buffered_changes
        self._interval_s = interval_s
        self._taken_at = self._looked_at = 0.0
        self._gathering_since = time.monotonic()
        self._at_hand = False

    def polled(self, records: Sequence[Record]) -> None:
        """These came in."""
        self._at_hand = len(records) >= _MANY or sum(len(record.value or b"") for record in records) >= _LARGE

    def rest_s(self, buffered: int) -> float:
        """Seconds to wait before reading, so that what comes in meanwhile is of the next batch; ``buffered``: changes."""
        if self._at_hand or buffered >= self._batch_changes:
            return 0.0
        return max(0.0, self._taken_at + self._interval_s - time.monotonic())

    def poll_s(self, *, behind: bool) -> float:
        """Seconds to wait for records; ``behind``: something can be done without them."""
        return _MORE_S if behind or self._at_hand else _LONGEST_S

    def looks(self, applying: UnderWay) -> bool:
        """Whether it is time to look around, with nothing being applied."""
        return applying.idle or time.monotonic() - self._looked_at > LOOK_AMID_S

    def looks_for_letters(self) -> bool:
        """Whether that is also the time to look for what operators ask of dead letters; it is then done."""
        if time.monotonic() - self._looked_at <= LOOK_S:
            return False
        self._looked_at = time.monotonic()
        return True

    def takes(self, applying: UnderWay, buffered: int, *, ahead: bool) -> bool:
        """Whether to take the transactions that are whole; ``ahead``: a batch may be prepared beside others."""
        if buffered > self._buffered_changes:
            return True
        if applying.idle:
            # Not by what is buffered alone: transactions of other tables are none of it, nor are large ones in a file.
            gathered = buffered >= min(self._batch_changes, _GATHERED)
            return gathered or not self._at_hand or time.monotonic() - self._gathering_since > _GATHER_S
        return buffered >= self._batch_changes and ahead and not applying.full

    def taken(self) -> None:
        """A batch was taken."""
        self._taken_at = self._gathering_since = time.monotonic()

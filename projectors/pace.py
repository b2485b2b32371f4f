"""When a projector reads, takes a batch, and looks around; no I/O.

A backlog comes in pieces as large as a fetch, its topics one after the other. Batches of a store are the cheaper the larger
they are: so the pieces are gathered, and reading goes on while a batch is applied.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cdc.reader import Decoded, Record, more_at_hand

_LOOK_AMID_S = 2.0  # most seconds for which batches follow one another without anybody looking what is asked
_GATHER_S = 0.5  # longest that a store with nothing to do is left waiting for a larger batch
_GATHER_INTERVALS = 4  # the same, of a store that rests between commits anyway
_MORE_S = 0.01  # how long to wait for records when there is something to do without them
_LONGEST_S = 0.5


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Least seconds between two of the same of a projector's doings."""

    commits_s: float = 0.0  #: 0: whatever has come in is committed at once
    looks_s: float = 0.5  #: for what operators ask of dead letters
    counts_s: float = 1.0  #: with what became of every record stored beside a commit


AT_ONCE = Rhythm()


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


class Waiting(Protocol):
    """Changes that were read and are not taken yet (cdc.assembler)."""

    @property
    def buffered(self) -> int:
        """How many lie in memory."""
        ...

    @property
    def whole(self) -> int:
        """How many are of transactions that can be taken."""
        ...


class Pace:
    """That of one projector's stream."""

    def __init__(self, *, batch_changes: int, buffered_changes: int, rhythm: Rhythm = AT_ONCE) -> None:
        """``batch_changes``: most changes of a batch; ``buffered_changes``: as many may wait for the rest of their
        transactions."""
        self._batch_changes = batch_changes
        self._buffered_changes = buffered_changes
        self._rhythm = rhythm
        self._gather_s = max(_GATHER_S, _GATHER_INTERVALS * rhythm.commits_s)
        self._taken_at = self._looked_at = 0.0
        self._gathering_since = time.monotonic()
        self._at_hand = False

    def polled(self, records: Sequence[Record | Decoded]) -> None:
        """These came in."""
        self._at_hand = more_at_hand(records)

    def rest_s(self, buffered: int) -> float:
        """Seconds to wait before reading, so that what comes in meanwhile is of the next batch; ``buffered``: changes."""
        if self._at_hand or buffered >= self._batch_changes:
            return 0.0
        return max(0.0, self._taken_at + self._rhythm.commits_s - time.monotonic())

    def poll_s(self, *, behind: bool) -> float:
        """Seconds to wait for records; ``behind``: something can be done without them."""
        return _MORE_S if behind or self._at_hand else _LONGEST_S

    def looks_for_letters(self) -> bool:
        """Whether that is also the time to look for what operators ask of dead letters; it is then done."""
        if time.monotonic() - self._looked_at <= self._rhythm.looks_s:
            return False
        self._looked_at = time.monotonic()
        return True

    def takes(self, applying: UnderWay, waiting: Waiting, *, ahead: bool) -> bool:
        """Whether to take the transactions that are whole; ``ahead``: a batch may be prepared beside others."""
        large = waiting.whole >= self._batch_changes
        if applying.idle:
            # Not by what is whole alone: transactions of other tables are none of it.
            return large or not self._at_hand or time.monotonic() - self._gathering_since > self._gather_s
        if time.monotonic() - self._looked_at > _LOOK_AMID_S:
            return False  # those under way end first, and it is looked around; reading goes on, should that take long
        no_room = waiting.buffered > self._buffered_changes
        return large and (no_room or (ahead and not applying.full))

    def taken(self) -> None:
        """A batch was taken."""
        self._taken_at = self._gathering_since = time.monotonic()

"""What became of every record that was read, by partition: applied, ignored for a named reason, parked, or still waiting.

The four always add up to what was read. Rows of unfinished transactions wait; after a restart they are read, and
counted, again, so what is kept with a store leaves them out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from cdc.partitions import Partition

Reason = Literal[
    "tombstone",  # after each delete, for Kafka's compaction
    "transaction boundary",  # BEGIN or END
    "logical message",  # pulses and canaries, and changes of op m
    "incremental snapshot",  # docs/decisions/0009
    "repeated",  # read before: a restarted connector or a rewound reader
    "superseded",  # a later snapshot or a TRUNCATE says what became of the row
    "dropped",  # an operator gave a dead letter up
]


@dataclass(slots=True)
class Counts:
    """Of one partition, since its store was begun."""

    read: int = 0
    applied: int = 0
    parked: int = 0  #: dead letters at present
    ignored: dict[str, int] = field(default_factory=dict[str, int])  #: by reason

    @property
    def settled(self) -> int:
        """How many records came to an end."""
        return self.applied + self.parked + sum(self.ignored.values())


class Tally:
    """The counts of one store's projector. One thread reads; the one that applies touches none of its fields."""

    def __init__(self, saved: Mapping[Partition, Counts], interval_s: float = 0.0) -> None:
        """``saved``: as the store has them; ``interval_s``: least time from storing them to storing them again."""
        self._interval_s = interval_s
        self.counts = dict(saved)
        self._due = 0.0

    def of(self, partition: Partition) -> Counts:
        """A partition's counts, to be added to."""
        if (counts := self.counts.get(partition)) is None:
            counts = self.counts[partition] = Counts()
        return counts

    def ignore(self, partition: Partition, reason: Reason, count: int = 1) -> None:
        """These records were read and are not applied."""
        ignored = self.of(partition).ignored
        ignored[reason] = ignored.get(reason, 0) + count

    def apply(self, records: Mapping[Partition, int]) -> None:
        """These records are applied with the batch that is being made up."""
        for partition, count in records.items():
            self.of(partition).applied += count

    def park(self, partition: Partition) -> None:
        """One that counts as applied is parked instead, or again."""
        counts = self.of(partition)
        counts.applied -= 1
        counts.parked += 1

    def release(self, partition: Partition, reason: Reason | None) -> None:
        """One that was parked is applied, or ignored for a reason."""
        counts = self.of(partition)
        counts.parked -= 1
        if reason is None:
            counts.applied += 1
        else:
            self.ignore(partition, reason)

    def unread(self, records: Mapping[Partition, int]) -> None:
        """Rows of unfinished transactions will be read again."""
        for partition, count in records.items():
            self.of(partition).read -= count

    def due(self, *, now: bool) -> bool:
        """Whether the counts should go with the next commit: as often as said, or ``now``."""
        if not now and time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + self._interval_s
        return True

    def settled(self, waiting: Mapping[Partition, int]) -> dict[Partition, Counts]:
        """A copy to be kept, without the rows that wait."""
        return {
            partition: replace(counts, read=counts.read - waiting.get(partition, 0), ignored=dict(counts.ignored))
            for partition, counts in self.counts.items()
        }


def unaccounted(counts: Mapping[Partition, Counts]) -> dict[Partition, Counts]:
    """The partitions of which more or fewer records were read than came to an end: none, or there is a bug."""
    return {partition: of for partition, of in counts.items() if of.read != of.settled}

"""``LogReader`` that reads a backlog in a process of its own, and what comes in after it here (docs/decisions/0023).

Two processes read and decode beside the store's work; where there is little to read, the way from one to the other would
only take time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from cdc.assembler import Partition
from cdc.reader import Decoded, LogReader, Record, require_same_topic
from cdc.reading import ReadingProcess

_BACKLOG = 20_000  # records: about as many are read here in the time that it takes to start the process
_MANY = 1_000  # records of a poll: more are at hand
_QUIET_S = 0.5  # of polls that bring fewer, after which a backlog is read


class BacklogReader:
    """``LogReader`` of two: ``near`` reads here, and the process that ``start`` begins where there is a backlog."""

    def __init__(self, near: LogReader, start: Callable[[], ReadingProcess], *, backlog: int = _BACKLOG) -> None:
        """``backlog``: how many records to be read are one. Closes ``near`` when it is closed."""
        self._near = near
        self._start = start
        self._backlog = backlog
        self._far: ReadingProcess | None = None  # from when it is started
        self._reader: LogReader = near  # the one of the two that is reading
        self._next: dict[Partition, int] = {}
        self._only: Collection[Partition] | None = None
        self._at_hand = 0  # records that came in large polls, one after the other
        self._quiet_since: float | None = None  # when a poll first brought fewer than many

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """See LogReader."""
        self._end_far()
        self._near.assign(offsets)
        self._next, self._only = dict(offsets), None
        ends = self._near.end_offsets(offsets)
        self._at_hand = sum(ends[partition] - offset for partition, offset in offsets.items())

    def poll(self, timeout_s: float, most_records: int) -> Sequence[Record | Decoded]:
        """See LogReader."""
        if self._far is None:
            if self._at_hand >= self._backlog:
                self._far = self._start()
        elif self._reader is self._near:
            if self._far.ready:
                self._hand_over(self._far)
        elif self._is_quiet() and not self._far.ahead:
            self._hand_over(self._near)
            self._end_far()
        records = self._reader.poll(timeout_s, most_records)
        self._next.update({record.partition: record.offset + 1 for record in records})
        if len(records) >= _MANY:
            self._at_hand += len(records)
            self._quiet_since = None
        elif self._far is None:
            self._at_hand = 0
        elif self._quiet_since is None:
            self._quiet_since = time.monotonic()
        return records

    def begin_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See LogReader."""
        return self._near.begin_offsets(partitions)

    def only(self, partitions: Collection[Partition] | None) -> None:
        """See LogReader."""
        self._only = partitions
        self._reader.only(partitions)

    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See LogReader."""
        return self._near.end_offsets(partitions)

    def partitions(self, topic: str) -> list[Partition]:
        """See LogReader."""
        return self._near.partitions(topic)

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """See LogReader."""
        return self._near.topic_ids(topics)

    def close(self) -> None:
        """See LogReader."""
        self._end_far()
        self._near.close()

    def _hand_over(self, reader: LogReader) -> None:
        """From here on, this one reads."""
        topics = sorted({topic for topic, _ in self._next})
        known = self._reader.topic_ids(topics)
        for assigned in (False, True):  # neither what is assigned, nor what has been, may be another topic
            if assigned:
                reader.assign(self._next)
            for topic, found in reader.topic_ids(topics).items():
                require_same_topic(topic, known.get(topic, ""), found)
        reader.only(self._only)
        self._reader.assign({})  # nothing is fetched twice
        self._reader, self._quiet_since = reader, None

    def _is_quiet(self) -> bool:
        return self._quiet_since is not None and time.monotonic() - self._quiet_since > _QUIET_S

    def _end_far(self) -> None:
        self._reader = self._near
        if self._far is not None:
            self._far.close()
        self._far, self._at_hand = None, 0

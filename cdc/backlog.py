"""``LogReader`` that reads a backlog in a process of its own, and what comes in after it here (docs/decisions/0023).

Two processes read and decode beside the store's work; where there is little to read, the way from one to the other would
only take time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from cdc.errors import Transient
from cdc.partitions import Partition
from cdc.reader import Decoded, LogReader, Record, more_at_hand, require_same_partitions, require_same_topic

logger = logging.getLogger(__name__)

_BACKLOG = 20_000  # records: about as many are read here in the time that it takes to start the process
_QUIET_S = 0.5  # of polls that bring little, after which a backlog that was read ends


class Process(LogReader, Protocol):
    """A reader that takes time to begin, and that may read ahead (cdc.reading)."""

    @property
    def ready(self) -> bool:
        """Whether it has begun, or failed to."""
        ...

    @property
    def ahead(self) -> bool:
        """Whether it reads records, or has read some, for polls to come."""
        ...


class BacklogReader:
    """``LogReader`` of two: ``near`` reads here, and the process that ``start`` begins where there is a backlog.

    Where that cannot be begun, or ends, it is read here until partitions are assigned anew.
    """

    def __init__(self, near: LogReader, start: Callable[[], Process], *, backlog: int = _BACKLOG) -> None:
        """``start``: raises OSError where there can be none; ``backlog``: how many records to be read are one.

        Closes ``near`` when it is closed.
        """
        self._near = near
        self._start = start
        self._backlog = backlog
        self._far: Process | None = None  # from when it is started
        self._reader: LogReader = near  # the one of the two that is reading
        self._next: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}  # where the partitions ended when they were looked at last
        self._topics: dict[str, tuple[str, int]] = {}  # id and number of partitions of the topics that are read
        self._only: frozenset[Partition] | None = None
        self._at_hand = 0  # records that came in large polls, one after the other
        self._alone = False  # no process is tried
        self._quiet_since: float | None = None  # when a poll of the process first brought little

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """See LogReader."""
        self._end_far()
        ids = self._near.topic_ids(sorted({topic for topic, _ in offsets}))
        self._topics = {topic: (id, len(self._near.partitions(topic))) for topic, id in ids.items()}
        self._near.assign(offsets)
        self._next, self._only, self._alone = dict(offsets), None, False
        self._begin_far()

    def poll(self, timeout_s: float, most_records: int) -> Sequence[Record | Decoded]:
        """See LogReader."""
        records: Sequence[Record | Decoded] | None = None
        try:
            self._choose()
            if self._far is not None and self._reader is self._far:
                records = self._far.poll(timeout_s, most_records)
        except Transient as exc:
            if self._far is None:
                raise
            self._do_without(str(exc))
        if records is None:
            records = self._near.poll(timeout_s, most_records)
        self._next.update({record.partition: record.offset + 1 for record in records})
        if more_at_hand(records):
            self._at_hand += len(records)
            self._quiet_since = None
        else:
            self._at_hand = 0
            self._quiet_since = self._quiet_since or time.monotonic()
        return records

    def begin_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See LogReader."""
        return self._near.begin_offsets(partitions)

    def only(self, partitions: Collection[Partition] | None) -> None:
        """See LogReader."""
        self._only = None if partitions is None else frozenset(partitions)
        self._reader.only(self._only)

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

    def _choose(self) -> None:
        """Who reads from here on."""
        if self._far is None:
            if self._at_hand >= self._backlog:
                self._at_hand = 0
                self._begin_far()
        elif self._reader is self._near:
            if self._far.ready:
                if self._is_backlog():
                    self._hand_over(self._far)
                else:
                    self._end_far()  # it took longer to begin than to read what there was
        elif self._is_quiet() and not self._far.ahead and not self._is_backlog():
            self._hand_over(self._near)
            self._end_far()

    def _is_backlog(self) -> bool:
        # By what was there when it was looked: Kafka is not asked, which would be waited for while it does not answer.
        left = sum(max(0, end - self._next[partition]) for partition, end in self._ends.items())
        return left >= self._backlog

    def _is_quiet(self) -> bool:
        return self._quiet_since is not None and time.monotonic() - self._quiet_since > _QUIET_S

    def _hand_over(self, reader: LogReader) -> None:
        self._require_same_topics(reader)
        reader.assign(self._next)
        self._require_same_topics(reader)  # whose later looks compare with what they were when it was assigned
        reader.only(self._only)
        if reader is not self._near:
            self._near.assign({})  # nothing is fetched twice
        self._reader, self._quiet_since = reader, None

    def _require_same_topics(self, reader: LogReader) -> None:
        found = reader.topic_ids(sorted(self._topics))
        for topic, (id, count) in self._topics.items():
            require_same_topic(topic, id, found.get(topic, ""))
            require_same_partitions(topic, count, len(reader.partitions(topic)))

    def _begin_far(self) -> None:
        self._ends = {} if self._alone else self._near.end_offsets(self._next)
        if self._is_backlog():
            try:
                self._far = self._start()
            except OSError as exc:  # no memory or no descriptor for another process
                self._do_without(type(exc).__name__)

    def _do_without(self, why: str) -> None:
        logger.warning("the backlog is read in this process from here on: %s", why, extra={"action": "read_here"})
        was_near = self._reader is self._near
        self._end_far()
        self._alone = True
        if not was_near:
            self._hand_over(self._near)

    def _end_far(self) -> None:
        if self._far is not None:
            self._far.close()
        self._far, self._reader, self._quiet_since, self._at_hand = None, self._near, None, 0

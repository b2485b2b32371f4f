"""Reading Kafka partitions from given offsets: a small protocol, and its implementation with kafka-python.

Consumer groups are not used to find the place to read on: a store's checkpoint has it. Control records and aborted
transactions leave gaps in offsets, so nothing here may assume that they are contiguous.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

from kafka import KafkaConsumer
from kafka.errors import KafkaError, OffsetOutOfRangeError, UnsupportedCodecError
from kafka.structs import TopicPartition
from msgspec import Struct

from cdc.change import Change, End, Headers
from cdc.errors import BEGIN_ANEW, Fatal, HistoryLost, SourceChanged, Transient
from cdc.partitions import Partition

_TOPICS_INTERVAL_S = 5
_MANY = 1_000  # records
_LARGE = 256 * 1024  # bytes
_COLLECTED_AFTER = 8 * 1024 * 1024  # bytes of values, and
_OF_A_POLL = 32 * 1024  # of each poll: what one leaves that waited in vain, and more where processors are busy
#: What HistoryLost says of an offset that Kafka does not hold.
TAKEN = f"retention took records this store has not applied, or Kafka lost some; {BEGIN_ANEW}"


class Record(Struct, frozen=True, array_like=True, tag=0, gc=False):
    """A Kafka record as it lies in its partition."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int = -1  #: as the broker has it, since 1970 UTC: when the record was sent, or written; -1 for none

    @property
    def size(self) -> int:
        """Bytes of its value."""
        return len(self.value or b"")


class Decoded(Struct, frozen=True, array_like=True, tag=1, gc=False):
    """A record of a table's or the transaction topic, decoded where it was read."""

    partition: Partition
    offset: int
    carries: Change | End | None  #: None where a projector needs nothing of it but its place

    @property
    def size(self) -> int:
        """Bytes of the key and the row that it carries."""
        change = self.carries
        return len(change.key or b"") + len(change.row or b"") if isinstance(change, Change) else 0


def more_at_hand(records: Sequence[Record | Decoded]) -> bool:
    """Whether a poll brought so much that more lies in Kafka: many records, or much of wide ones."""
    return len(records) >= _MANY or sum(record.size for record in records) >= _LARGE


class LogReader(Protocol):
    """Reads the assigned partitions in order; blocking, used by one thread."""

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """Read these partitions from these offsets on; none of them waits. Raises HistoryLost when Kafka does not hold one
        of the offsets, and Transient."""
        ...

    def poll(self, timeout_s: float, most_records: int) -> Sequence[Record | Decoded]:
        """Records that have come in, each partition's in order; none after ``timeout_s``.

        Raises Transient, also when partitions were added to a topic, HistoryLost, and SourceChanged.
        """
        ...

    def begin_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The offset of the first record that Kafka still holds, by partition."""
        ...

    def only(self, partitions: Collection[Partition] | None) -> None:
        """Let the other assigned partitions wait; None lets all of them be read again."""
        ...

    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The offset behind the last record by partition, as committed transactions show it."""
        ...

    def partitions(self, topic: str) -> list[Partition]:
        """A topic's partitions; none when it does not exist."""
        ...

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """Kafka's identity of each topic that exists: one made anew under an old name has another."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


class KafkaPythonReader:
    """``LogReader`` with kafka-python."""

    def __init__(self, bootstrap: str) -> None:
        """``bootstrap``: comma separated host:port. Raises Transient when no broker answers."""
        self._read: dict[str, tuple[str, int]] = {}  # id and number of partitions of the topics that are read
        self._looked_at = 0.0
        self._some_wait = False
        self._uncollected = 0  # bytes
        try:
            self._consumer = KafkaConsumer(
                bootstrap_servers=bootstrap.split(","),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset=cast("Any", "none"),  # never silently from elsewhere; the stub does not know it
                isolation_level="read_committed",
                metadata_max_age_ms=_TOPICS_INTERVAL_S * 1000,  # how soon it is seen that a topic was made anew
                reconnect_backoff_max_ms=1_000,  # by default 30 s: long after Kafka is back
                fetch_min_bytes=1,
                fetch_max_wait_ms=500,  # a long poll: answered as soon as there is a byte
                max_partition_fetch_bytes=512 * 1024,  # topics advance together: rows wait for those of other topics
                fetch_max_bytes=2 * 1024 * 1024,
            )
        except KafkaError as exc:
            raise Transient(f"Kafka at {bootstrap} does not answer: {type(exc).__name__}") from exc

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """See LogReader."""
        assigned = {TopicPartition(*partition): offset for partition, offset in offsets.items()}
        try:
            begins = self._consumer.beginning_offsets(list(assigned))
            ends = self._consumer.end_offsets(list(assigned))
        except (KafkaError, KeyError) as exc:  # kafka-python's own, when a broker answered for some partitions only
            raise Transient(f"Kafka does not answer: {type(exc).__name__}") from exc
        require_held(offsets, _by_partition(begins), _by_partition(ends))
        self._read = {tp.topic: self._identity(tp.topic) for tp in assigned}
        self.only(None)  # a partition that goes on being assigned would go on waiting
        self._consumer.assign(list(assigned))
        for tp, offset in assigned.items():
            self._consumer.seek(tp, offset)

    def poll(self, timeout_s: float, most_records: int) -> Sequence[Record]:
        """See LogReader."""
        if time.monotonic() - self._looked_at > 1.0:
            self._require_same_topics()
        self._let_go_on()
        try:
            polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=most_records)
        except UnsupportedCodecError as exc:
            raise Fatal(f"Kafka's records are compressed in a way this reader cannot undo: {exc}") from exc
        except OffsetOutOfRangeError as exc:
            self._require_same_topics()
            raise HistoryLost(f"Kafka does not hold the records to be read next, {_positions(exc)}: {TAKEN}") from exc
        except KafkaError as exc:
            raise Transient(f"Kafka does not answer: {type(exc).__name__}") from exc
        read: list[Record] = []
        for tp, records in polled.items():
            partition = (tp.topic, tp.partition)
            read += [Record(partition, r.offset, r.key, r.value, r.headers, r.timestamp) for r in records]
        self._let_go_of(read)
        return read

    def _let_go_of(self, read: Sequence[Record]) -> None:
        # A poll of kafka-python that waits in vain leaves circles of objects, which hold what was fetched: few and large.
        # The collector, which counts objects, would come to them hundreds of megabytes later.
        self._uncollected += _OF_A_POLL + sum(record.size for record in read)
        if self._uncollected > _COLLECTED_AFTER:
            self._uncollected = 0
            gc.collect()

    def only(self, partitions: Collection[Partition] | None) -> None:
        """See LogReader."""
        if partitions is None and not self._some_wait:
            return  # asked before every poll
        self._some_wait = partitions is not None
        assigned: set[TopicPartition] = self._consumer.assignment()
        waiting = set[TopicPartition]() if partitions is None else {tp for tp in assigned if tp not in partitions}
        if waiting != self._consumer.paused():
            self._consumer.resume(*(assigned - waiting))
            self._consumer.pause(*waiting)

    def _let_go_on(self) -> None:
        # kafka-python 3.0.12 takes up what a partition had fetched when it was told to wait only where no other one's
        # records were in hand, and calls one that is used up in hand too: the partition would never be read again.
        fetcher = cast("Any", self._consumer)._fetcher
        if fetcher._next_partition_records is not None and not fetcher._next_partition_records:
            fetcher._next_partition_records = None

    def begin_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See LogReader."""
        try:
            begins = self._consumer.beginning_offsets([TopicPartition(*p) for p in partitions])
        except KafkaError as exc:
            raise Transient(f"Kafka does not answer: {type(exc).__name__}") from exc
        return _by_partition(begins)

    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See LogReader."""
        try:
            ends = self._consumer.end_offsets([TopicPartition(*p) for p in partitions])
        except (KafkaError, KeyError) as exc:
            raise Transient(f"Kafka does not answer: {type(exc).__name__}") from exc
        return _by_partition(ends)

    def partitions(self, topic: str) -> list[Partition]:
        """See LogReader."""
        try:
            numbers = cast("set[int] | None", self._consumer.partitions_for_topic(topic))
        except KafkaError as exc:
            raise Transient(f"Kafka does not answer: {type(exc).__name__}") from exc
        return [(topic, number) for number in sorted(numbers or ())]

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """See LogReader."""
        existing = [topic for topic in topics if self.partitions(topic)]
        return {topic: self._identity(topic)[0] for topic in existing}

    def _identity(self, topic: str) -> tuple[str, int]:
        cluster = cast("Any", self._consumer)._cluster  # its public methods do not tell a topic's id
        return str(cluster.topic_id(topic) or ""), len(cluster.partitions_for_topic(topic) or ())

    def _require_same_topics(self) -> None:
        # What the client has learned lately; nothing is asked here.
        self._looked_at = time.monotonic()
        for topic, (known, count) in self._read.items():
            found, partitions = self._identity(topic)
            require_same_topic(topic, known, found)
            require_same_partitions(topic, count, partitions)

    def close(self) -> None:
        """See LogReader."""
        self._consumer.close(autocommit=False)


def read_up_to(reader: LogReader, unread: dict[Partition, int], most_records: int) -> Iterator[Record | Decoded]:
    """A poll's records before these offsets; partitions read that far are taken out of ``unread``."""
    for record in reader.poll(1.0, most_records):
        end = unread.get(record.partition, 0)
        if record.offset < end:
            yield record
        if record.offset + 1 >= end:
            unread.pop(record.partition, None)


def require_same_topic(topic: str, known: str, found: str) -> None:
    """Raise SourceChanged when a topic is not the one that was read before; an unknown id says nothing."""
    if known and found and known != found:
        raise SourceChanged(
            f"topic {topic} was deleted and made anew since this store read it: its records do not go on where they "
            f"ended; {BEGIN_ANEW}"
        )


def require_same_partitions(topic: str, known: int, found: int) -> None:
    """Raise Transient when partitions were added to a topic: whoever runs on reads them too."""
    if found > known:
        raise Transient(f"topic {topic} has {found} partitions instead of {known}: reading on with all of them")


def require_held(
    offsets: Mapping[Partition, int], begins: Mapping[Partition, int], ends: Mapping[Partition, int]
) -> None:
    """Raise HistoryLost when Kafka does not hold one of the offsets, nor ends there."""
    for partition, offset in offsets.items():
        begin, end = begins[partition], ends[partition]
        if not begin <= offset <= end:
            raise HistoryLost(
                f"{partition[0]}[{partition[1]}]@{offset} is to be read next, and Kafka holds {begin} to {end}: {TAKEN}"
            )


def _by_partition(offsets: Mapping[TopicPartition, int]) -> dict[Partition, int]:
    return {(tp.topic, tp.partition): offset for tp, offset in offsets.items()}


def _positions(exc: OffsetOutOfRangeError) -> str:
    offsets: dict[TopicPartition, int] = exc.args[0] if exc.args and isinstance(exc.args[0], dict) else {}
    return ", ".join(f"{tp.topic}[{tp.partition}]@{offset}" for tp, offset in offsets.items())

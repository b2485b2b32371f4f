"""Reading Kafka partitions from given offsets: a small protocol, and its implementation with kafka-python.

Consumer groups are not used to find the place to read on: a store's checkpoint has it. Control records and aborted
transactions leave gaps in offsets, so nothing here may assume that they are contiguous.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, cast

from kafka import KafkaConsumer
from kafka.errors import KafkaError, OffsetOutOfRangeError, UnsupportedCodecError
from kafka.structs import TopicPartition

from cdc.assembler import Partition
from cdc.change import Headers
from cdc.errors import Fatal, HistoryLost, Transient


class Record(NamedTuple):
    """A Kafka record as it lies in its partition."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class LogReader(Protocol):
    """Reads the assigned partitions in order; blocking, used by one thread."""

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """Read these partitions from these offsets on. Raises HistoryLost when one of them is gone."""
        ...

    def poll(self, timeout_s: float, most_records: int) -> Iterable[Record]:
        """Records that have come in, each partition's in order; none after ``timeout_s``. Raises Transient, HistoryLost."""
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

    def close(self) -> None:
        """Give the connection back."""
        ...


class KafkaPythonReader:
    """``LogReader`` with kafka-python."""

    def __init__(self, bootstrap: str) -> None:
        """``bootstrap``: comma separated host:port. Raises Transient when no broker answers."""
        self._last: dict[TopicPartition, int] = {}
        try:
            self._consumer = KafkaConsumer(
                bootstrap_servers=bootstrap.split(","),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset=cast("Any", "none"),  # never silently from elsewhere; the stub does not know it
                isolation_level="read_committed",
                fetch_min_bytes=1,
                fetch_max_wait_ms=500,  # a long poll: answered as soon as there is a byte
                max_partition_fetch_bytes=8 * 1024 * 1024,
                fetch_max_bytes=64 * 1024 * 1024,
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
        for tp, offset in assigned.items():
            if not begins[tp] <= offset <= ends[tp]:
                raise HistoryLost(
                    f"{tp.topic}[{tp.partition}]@{offset} is to be read next, but Kafka holds {begins[tp]} to {ends[tp]}: "
                    "retention or a recreated topic took records this store has not applied; "
                    "bring the store anew with an empty data directory, or `readside rebuild --from snapshot`"
                )
        self._consumer.assign(list(assigned))
        for tp, offset in assigned.items():
            self._consumer.seek(tp, offset)

    def poll(self, timeout_s: float, most_records: int) -> Iterable[Record]:
        """See LogReader."""
        try:
            polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000), max_records=most_records)
        except UnsupportedCodecError as exc:
            raise Fatal(f"Kafka's records are compressed in a way this reader cannot undo: {exc}") from exc
        except OffsetOutOfRangeError as exc:
            raise HistoryLost(
                f"Kafka no longer holds the records to be read next: {exc}; rebuild from a snapshot"
            ) from exc
        except KafkaError as exc:
            raise Transient(f"Kafka does not answer: {type(exc).__name__}") from exc
        for tp, records in polled.items():
            partition = (tp.topic, tp.partition)
            for record in records:
                yield Record(partition, record.offset, record.key, record.value, record.headers)

    def only(self, partitions: Collection[Partition] | None) -> None:
        """See LogReader."""
        assigned: set[TopicPartition] = self._consumer.assignment()
        waiting = set[TopicPartition]() if partitions is None else {tp for tp in assigned if tp not in partitions}
        if waiting != self._consumer.paused():
            self._consumer.resume(*(assigned - waiting))
            self._consumer.pause(*waiting)

    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See LogReader."""
        try:
            ends = self._consumer.end_offsets([TopicPartition(*p) for p in partitions])
        except (KafkaError, KeyError) as exc:
            raise Transient(f"Kafka does not answer: {type(exc).__name__}") from exc
        return {(tp.topic, tp.partition): offset for tp, offset in ends.items()}

    def partitions(self, topic: str) -> list[Partition]:
        """See LogReader."""
        try:
            numbers = cast("set[int] | None", self._consumer.partitions_for_topic(topic))
        except KafkaError as exc:
            raise Transient(f"Kafka does not answer: {type(exc).__name__}") from exc
        return [(topic, number) for number in sorted(numbers or ())]

    def close(self) -> None:
        """See LogReader."""
        self._consumer.close(autocommit=False)

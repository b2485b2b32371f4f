"""``LogReader`` with confluent-kafka, the optional extra: librdkafka fetches and unpacks beside Python.

What differs from what librdkafka does of itself: nothing begins elsewhere than it was told to, checksums are looked at, and
what waits in memory is bounded. Its group is never joined, and nothing is committed to it.
"""

from __future__ import annotations

import base64
import logging
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, cast

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import ListOffsetsResultInfo, OffsetSpec
from confluent_kafka.admin._topic import TopicDescription

from cdc.change import Headers
from cdc.errors import Fatal, HistoryLost, Transient
from cdc.partitions import Partition
from cdc.reader import TAKEN, Record, require_held, require_same_partitions, require_same_topic

logger = logging.getLogger(__name__)

_TOPICS_INTERVAL_S = 5.0
_NO_HEADERS: Headers = []
_UNREADABLE = (KafkaError._BAD_COMPRESSION, KafkaError._NOT_IMPLEMENTED)  # pyright: ignore[reportPrivateUsage]
_OUT_OF_RANGE = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)  # pyright: ignore[reportPrivateUsage]

_CONSUMER = {
    "group.id": "readside-none",  # required by the library; without subscribe() nobody is a member
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",  # never silently from elsewhere
    "isolation.level": "read_committed",
    "check.crcs": True,
    "fetch.wait.max.ms": 500,  # a long poll: answered as soon as there is a byte
    "fetch.message.max.bytes": 512 * 1024,  # of each partition
    "fetch.max.bytes": 32 * 1024 * 1024,
    "queued.max.messages.kbytes": 64 * 1024,  # of all partitions together
    "fetch.queue.backoff.ms": 10,  # by default it rests for a second when that much waits
    "max.poll.interval.ms": 24 * 60 * 60 * 1000,  # a batch may take long, and there is no group to leave
}


class ConfluentReader:
    """``LogReader`` with confluent-kafka."""

    def __init__(self, bootstrap: str, *, answer_s: float = 10.0) -> None:
        """``bootstrap``: comma separated host:port. Raises Transient when no broker answers in ``answer_s``."""
        self._answer_s = answer_s
        self._read: dict[str, tuple[str, int]] = {}  # id and number of partitions of the topics that are read
        self._look: dict[str, Future[TopicDescription]] | None = None
        self._looked_at = 0.0
        self._waiting: set[Partition] = set()
        self._down: str | None = None
        common: dict[str, Any] = {"bootstrap.servers": bootstrap, "error_cb": self._note_error}
        self._admin = AdminClient(common, logger=logger)
        try:
            self._admin.list_topics(timeout=self._answer_s)
            self._consumer = Consumer(common | _CONSUMER, logger=logger)
        except KafkaException as exc:
            raise Transient(f"Kafka at {bootstrap} does not answer: {_name(exc)}") from exc

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """See LogReader."""
        require_held(offsets, self.begin_offsets(offsets), self.end_offsets(offsets))
        self._read = {topic: (id, count) for topic, id, count in self._described({topic for topic, _ in offsets})}
        self._look, self._looked_at = None, time.monotonic()
        try:
            self.only(None)  # a partition that waits would go on waiting
            self._consumer.assign([TopicPartition(*partition, offset) for partition, offset in offsets.items()])
        except KafkaException as exc:
            raise Transient(f"Kafka does not answer: {_name(exc)}") from exc

    def poll(self, timeout_s: float, most_records: int) -> Sequence[Record]:
        """See LogReader."""
        self._look_at_topics()
        try:
            # With a timeout, consume() waits for all of them.
            messages = self._consumer.consume(most_records, 0)
            if not messages and (first := self._consumer.poll(timeout_s)) is not None:
                messages = [first, *self._consumer.consume(most_records - 1, 0)]
        except KafkaException as exc:
            raise Transient(f"Kafka does not answer: {_name(exc)}") from exc
        if not messages:
            if self._down is not None:
                raise Transient(f"Kafka does not answer: {self._down}")
            return ()
        self._down = None
        for message in messages:
            if (error := message.error()) is not None:
                self._raise(message, error)
        return [
            Record(
                cast("Partition", (message.topic(), message.partition())),
                cast("int", message.offset()),
                message.key(),
                message.value(),
                cast("Headers | None", message.headers()) or _NO_HEADERS,
                message.timestamp()[1],
            )
            for message in messages
        ]

    def only(self, partitions: Collection[Partition] | None) -> None:
        """See LogReader."""
        if partitions is None and not self._waiting:
            return  # asked before every poll
        assigned = {(tp.topic, tp.partition) for tp in self._consumer.assignment()}
        waiting = set[Partition]() if partitions is None else assigned.difference(partitions)
        # A partition that is told to pause drops what it has fetched ahead: those that wait already are left alone.
        self._consumer.pause([TopicPartition(*partition) for partition in waiting - self._waiting])
        self._consumer.resume([TopicPartition(*partition) for partition in self._waiting - waiting])
        self._waiting = waiting

    def begin_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See LogReader."""
        return self._offsets(partitions, OffsetSpec.earliest())

    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """See LogReader."""
        return self._offsets(partitions, OffsetSpec.latest())

    def partitions(self, topic: str) -> list[Partition]:
        """See LogReader."""
        return [(topic, number) for _, _, count in self._described([topic]) for number in range(count)]

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        """See LogReader."""
        return {topic: id for topic, id, _ in self._described(topics)}

    def close(self) -> None:
        """See LogReader."""
        self._consumer.close()

    def _offsets(self, partitions: Iterable[Partition], spec: OffsetSpec | None) -> dict[Partition, int]:
        asked = {TopicPartition(*partition): cast("OffsetSpec", spec) for partition in partitions}
        if not asked:
            return {}
        try:
            answers = cast(
                "dict[TopicPartition, Future[ListOffsetsResultInfo]]",
                self._admin.list_offsets(
                    asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=self._answer_s
                ),
            )
            return {(tp.topic, tp.partition): answer.result().offset for tp, answer in answers.items()}
        except KafkaException as exc:
            raise Transient(f"Kafka does not answer: {_name(exc)}") from exc

    def _described(self, topics: Iterable[str]) -> list[tuple[str, str, int]]:
        """Name, identity and number of partitions of the topics that exist."""
        return _answered(self._describe(topics))

    def _describe(self, topics: Iterable[str]) -> dict[str, Future[TopicDescription]]:
        names = list(topics)
        if not names:
            return {}
        try:
            return self._admin.describe_topics(TopicCollection(names), request_timeout=self._answer_s)
        except KafkaException as exc:
            raise Transient(f"Kafka does not answer: {_name(exc)}") from exc

    def _look_at_topics(self) -> None:
        # Asked now and then, and not waited for.
        if self._look is None:
            if time.monotonic() - self._looked_at > _TOPICS_INTERVAL_S:
                self._looked_at = time.monotonic()
                self._look = self._describe(self._read)
        elif all(answer.done() for answer in self._look.values()):
            look, self._look = self._look, None
            self._require_same_topics(look)

    def _require_same_topics(self, look: Mapping[str, Future[TopicDescription]]) -> None:
        for topic, id, count in _answered(look):
            known, known_count = self._read[topic]
            require_same_topic(topic, known, id)
            require_same_partitions(topic, known_count, count)

    def _raise(self, message: Message, error: KafkaError) -> None:
        where = f"{message.topic()}[{message.partition()}]"
        if error.code() in _UNREADABLE:
            raise Fatal(
                f"Kafka's records are compressed in a way this reader cannot undo: {where}@{message.offset()}: "
                f"{error.name()}"
            )
        self._require_same_topics(self._describe(self._read))
        if error.code() in _OUT_OF_RANGE:
            raise HistoryLost(f"Kafka does not hold the records to be read next, {where}@{message.offset()}: {TAKEN}")
        raise Transient(f"Kafka does not give {where}: {error.name()}")

    def _note_error(self, error: KafkaError) -> None:
        # Called within consume() and poll(). One broker that is gone is the library's own business.
        if error.code() == KafkaError._ALL_BROKERS_DOWN or error.fatal():  # pyright: ignore[reportPrivateUsage]
            self._down = error.name()


def _answered(answers: Mapping[str, Future[TopicDescription]]) -> list[tuple[str, str, int]]:
    found: list[tuple[str, str, int]] = []
    for topic, answer in answers.items():
        try:
            described = answer.result()
        except KafkaException as exc:
            if cast("KafkaError", exc.args[0]).code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            raise Transient(f"Kafka does not answer: {_name(exc)}") from exc
        # As kafka-python writes it: a store's checkpoint holds it, whichever reader it was written with.
        id = uuid.UUID(bytes=base64.b64decode(f"{described.topic_id}=="))
        found.append((topic, str(id), len(described.partitions)))
    return found


def _name(exc: KafkaException) -> str:
    return cast("KafkaError", exc.args[0]).name()

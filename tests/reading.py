"""Topics made, filled and read by a ``LogReader``, on a real broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import cast

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.structs import TopicPartition

from cdc.partitions import Partition
from cdc.reader import Decoded, LogReader, Record


def make(client: KafkaAdminClient, topic: str) -> None:
    client.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}}, wait_for_metadata=True)
    latest = {TopicPartition(topic, number): -1 for number in range(2)}
    wait_until(lambda: len(client.list_partition_offsets(latest)) == 2)  # its leaders are there


def send(producer: KafkaProducer, partition: Partition, values: Iterable[int], *, size: int = 0) -> None:
    topic, number = partition
    for value in values:
        producer.send(topic, value=b"%d%*s" % (value, size, b""), key=b"%d" % value, partition=number)
    producer.flush()


def read(reader: LogReader, count: int, *, most: int = 1_000, deadline_s: float = 10.0) -> list[Record]:
    """So many records and no more; fails the test when they do not come."""
    records: list[Record] = []
    deadline = time.monotonic() + deadline_s
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records came"
        records += whole(reader.poll(0.2, most))
    assert len(records) == count
    assert not list(reader.poll(0.1, most))
    return records


def whole(polled: Iterable[Record | Decoded]) -> list[Record]:
    """What was polled, as it lies in Kafka; fails the test when it was decoded, which records of these topics cannot be."""
    records = list(polled)
    assert all(isinstance(record, Record) for record in records)
    return cast("list[Record]", records)


def offsets_of(records: Iterable[Record], partition: Partition) -> list[int]:
    return [record.offset for record in records if record.partition == partition]


def raises(kind: type[Exception], reader: LogReader, match: str, *, deadline_s: float = 15.0) -> None:
    deadline = time.monotonic() + deadline_s
    with pytest.raises(kind, match=match):
        while time.monotonic() < deadline:
            list(reader.poll(0.2, 1_000))


def wait_until(holds: Callable[[], bool], *, deadline_s: float = 10.0) -> None:
    deadline = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)

"""The readers of Kafka, each on a real broker: what ``LogReader`` says holds for all of them."""

from __future__ import annotations

import gc
import os
import secrets
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.structs import TopicPartition
from msgspec.structs import replace

from benchmarks.large_transaction import Memory
from cdc.confluent_reader import ConfluentReader
from cdc.errors import Fatal, HistoryLost, SourceChanged, Transient
from cdc.partitions import Partition
from cdc.reader import KafkaPythonReader, LogReader, Record
from cdc.reading import ReadingProcess
from cdc.topics import admin
from config.settings import Settings
from projectors.run import open_reader
from stack.ports import free
from tests.backends import Stack
from tests.reading import make, offsets_of, raises, read, send, wait_until

READERS: Mapping[str, Callable[[Stack], LogReader]] = {
    "kafka-python": lambda stack: KafkaPythonReader(stack.settings.kafka),
    "confluent-kafka": lambda stack: ConfluentReader(stack.settings.kafka),
    "in a process": lambda stack: ReadingProcess(stack.settings.kafka, "none"),
}


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest, stack: Stack) -> Iterator[LogReader]:
    with closing(READERS[request.param](stack)) as opened:
        yield opened


@contextmanager
def one_of_each(stack: Stack) -> Generator[list[LogReader]]:
    with ExitStack() as opened:
        yield [opened.enter_context(closing(reader(stack))) for reader in READERS.values()]


@pytest.fixture
def readers(stack: Stack) -> Iterator[list[LogReader]]:
    with one_of_each(stack) as opened:
        yield opened


@pytest.fixture
def others(stack: Stack) -> Iterator[list[LogReader]]:
    with one_of_each(stack) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[KafkaAdminClient]:
    with admin(stack.settings.kafka) as opened:
        yield opened


@pytest.fixture
def producer(stack: Stack, topic: str) -> Iterator[KafkaProducer]:
    # Closed before the topic goes: it would look for it for ever.
    with closing(KafkaProducer(bootstrap_servers=stack.settings.kafka, acks="all", compression_type="lz4")) as opened:
        yield opened


@pytest.fixture
def topic(client: KafkaAdminClient) -> Iterator[str]:
    """A topic of two partitions."""
    name = f"readers-{secrets.token_hex(6)}"
    make(client, name)
    yield name
    client.delete_topics([name])


def test_each_partition_is_read_in_order_from_the_given_offset(
    reader: LogReader, producer: KafkaProducer, topic: str
) -> None:
    send(producer, (topic, 0), range(3_000))
    send(producer, (topic, 1), range(500))
    reader.assign({(topic, 0): 1_000, (topic, 1): 500})
    records = read(reader, 2_000, most=700)
    assert offsets_of(records, (topic, 0)) == list(range(1_000, 3_000))
    assert [record.value for record in records] == [b"%d" % record.offset for record in records]
    send(producer, (topic, 1), [500])
    assert untimed(read(reader, 1)) == [Record((topic, 1), 500, b"500", b"500", [])]


def test_no_more_records_than_asked_for_and_none_without_waiting(
    reader: LogReader, producer: KafkaProducer, topic: str
) -> None:
    send(producer, (topic, 0), range(100))
    reader.assign({(topic, 0): 0, (topic, 1): 0})
    polls: list[int] = []
    while sum(polls) < 100:
        polls.append(len(list(reader.poll(0.5, 7))))
    assert max(polls) <= 7
    began = time.monotonic()
    assert not list(reader.poll(0.3, 7))
    assert 0.25 < time.monotonic() - began < 1.0


def test_a_record_is_handed_out_when_it_comes_not_when_the_time_is_over(
    reader: LogReader, producer: KafkaProducer, topic: str
) -> None:
    reader.assign({(topic, 0): 0, (topic, 1): 0})
    list(reader.poll(1.0, 1_000))
    waits: list[float] = []
    for number in range(5):
        send(producer, (topic, 1), [number])
        began = time.monotonic()
        while not list(reader.poll(5.0, 1_000)):
            pass
        waits.append(time.monotonic() - began)
    assert min(waits) < 0.5


def test_records_larger_than_what_is_fetched_at_once_are_read_beside_small_ones(
    reader: LogReader, stack: Stack, topic: str
) -> None:
    sent: dict[Partition, list[bytes]] = {}
    size = 32 * 1024 * 1024
    with closing(KafkaProducer(bootstrap_servers=stack.settings.kafka, max_request_size=size)) as producer:
        for number in range(2):
            sent[topic, number] = [secrets.token_bytes(length) for length in (10, 5_000_000, 700_000, 5_000_000, 10)]
            for value in sent[topic, number]:
                producer.send(topic, value, partition=number).get(10)
    reader.assign(dict.fromkeys(sent, 0))
    found: dict[Partition, list[bytes | None]] = {partition: [] for partition in sent}
    for record in read(reader, 10):
        found[record.partition].append(record.value)
    assert found == sent


def test_assigned_anew_it_reads_from_the_new_place_alone(
    reader: LogReader, producer: KafkaProducer, topic: str
) -> None:
    send(producer, (topic, 0), range(1_000))
    send(producer, (topic, 1), range(1_000))
    reader.assign({(topic, 0): 0, (topic, 1): 0})
    list(reader.poll(5.0, 10))
    reader.assign({(topic, 1): 990})
    assert offsets_of(read(reader, 10), (topic, 1)) == list(range(990, 1_000))


def test_what_is_assigned_to_nobody_is_not_read(reader: LogReader, producer: KafkaProducer, topic: str) -> None:
    send(producer, (topic, 0), range(100))
    reader.assign({(topic, 0): 0})
    list(reader.poll(5.0, 10))
    reader.assign({})
    assert not list(reader.poll(0.2, 10))
    reader.assign({(topic, 0): 90})
    assert offsets_of(read(reader, 10), (topic, 0)) == list(range(90, 100))


def test_headers_and_missing_keys_and_values(reader: LogReader, producer: KafkaProducer, topic: str) -> None:
    producer.send(topic, key=b"k", value=None, partition=0, headers=[("h", b"1"), ("h", b"2"), ("__old", b"{}")])
    producer.send(topic, key=None, value=b"", partition=0)
    producer.send(topic, key=b"", value=b"v", partition=0)
    producer.flush()
    reader.assign({(topic, 0): 0})
    assert untimed(read(reader, 3)) == [
        Record((topic, 0), 0, b"k", None, [("h", b"1"), ("h", b"2"), ("__old", b"{}")]),
        Record((topic, 0), 1, None, b"", []),
        Record((topic, 0), 2, b"", b"v", []),
    ]


def test_records_carry_the_time_at_which_they_were_sent(reader: LogReader, producer: KafkaProducer, topic: str) -> None:
    before_ms = int(time.time() * 1000)
    send(producer, (topic, 0), range(2))
    reader.assign({(topic, 0): 0})
    assert all(before_ms <= record.timestamp_ms <= time.time() * 1000 for record in read(reader, 2))


def test_aborted_transactions_are_not_seen_and_their_offsets_are_gaps(
    reader: LogReader, stack: Stack, topic: str
) -> None:
    partition = (topic, 0)
    with closing(KafkaProducer(bootstrap_servers=stack.settings.kafka, transactional_id=topic)) as producer:
        producer.init_transactions()
        for begin, end in ((0, producer.commit_transaction), (10, producer.abort_transaction), (20, None)):
            producer.begin_transaction()
            send(producer, partition, range(begin, begin + 3))
            if end is not None:
                end()
        reader.assign({partition: 0})
        # Two transactions of three records and a marker each; the third is not committed yet.
        assert reader.end_offsets([partition]) == {partition: 8}
        assert [record.value for record in read(reader, 3)] == [b"0", b"1", b"2"]
        producer.commit_transaction()
        records = read(reader, 3)
    assert [(record.offset, record.value) for record in records] == [(8, b"20"), (9, b"21"), (10, b"22")]
    assert reader.end_offsets([partition]) == {partition: 12}
    reader.assign({partition: 12})
    assert not list(reader.poll(0.2, 1_000))


def test_partitions_wait_while_others_are_read_and_nothing_is_lost_or_doubled(
    reader: LogReader, producer: KafkaProducer, topic: str
) -> None:
    first, second = (topic, 0), (topic, 1)
    for partition in (first, second):
        send(producer, partition, range(300), size=200)
    reader.assign({first: 0, second: 0})
    records: list[Record] = []
    turns: list[set[Partition] | None] = [{first}, {second}, set[Partition](), {first}, None]
    for let in turns:
        reader.only(let)
        deadline = time.monotonic() + (10 if let is None else 0.7)
        while time.monotonic() < deadline and len(records) < 600:
            polled = list(reader.poll(0.1, 30))
            assert let is None or {record.partition for record in polled} <= let
            records += polled
            if polled and let is not None:
                break
    assert offsets_of(records, first) == list(range(300))
    assert offsets_of(records, second) == list(range(300))


def test_what_waited_is_read_when_all_are_let_go_on(reader: LogReader, producer: KafkaProducer, topic: str) -> None:
    reader.assign({(topic, 0): 0, (topic, 1): 0})
    reader.only([(topic, 0)])
    send(producer, (topic, 0), range(5))
    send(producer, (topic, 1), range(5))
    assert offsets_of(read(reader, 5), (topic, 0)) == list(range(5))
    reader.only(None)
    assert offsets_of(read(reader, 5), (topic, 1)) == list(range(5))
    reader.only([(topic, 0)])
    reader.assign({(topic, 1): 0})
    assert offsets_of(read(reader, 5), (topic, 1)) == list(range(5))


def test_offsets_that_kafka_does_not_hold_are_lost_history(
    reader: LogReader, producer: KafkaProducer, client: KafkaAdminClient, topic: str
) -> None:
    partition = (topic, 0)
    send(producer, partition, range(20))
    assert reader.begin_offsets([partition]) == {partition: 0}
    client.delete_records({TopicPartition(*partition): 10})
    assert reader.begin_offsets([partition, (topic, 1)]) == {partition: 10, (topic, 1): 0}
    assert reader.end_offsets([partition, (topic, 1)]) == {partition: 20, (topic, 1): 0}
    for lost in (9, 21):
        with pytest.raises(HistoryLost, match=rf"{topic}\[0\]@{lost} is to be read next, and Kafka holds 10 to 20"):
            reader.assign({partition: lost})
    reader.assign({partition: 10})
    assert offsets_of(read(reader, 10), partition) == list(range(10, 20))


def test_records_that_go_before_they_are_read_are_lost_history(
    reader: LogReader, producer: KafkaProducer, client: KafkaAdminClient, topic: str
) -> None:
    partition = (topic, 0)
    reader.assign({partition: 0, (topic, 1): 0})
    reader.only([(topic, 1)])
    list(reader.poll(0.5, 10))
    send(producer, partition, range(20))
    client.delete_records({TopicPartition(*partition): 10})
    reader.only(None)
    raises(HistoryLost, reader, rf"{topic}\[0\]@0: retention took records")


def test_what_becomes_of_a_topic_is_noticed(
    readers: list[LogReader], others: list[LogReader], client: KafkaAdminClient, topic: str
) -> None:
    """One test for both readers and both cases: each look at the topics is seconds away."""
    grown = f"{topic}-grown"
    make(client, grown)
    for each in readers:
        each.assign({(topic, 0): 0, (topic, 1): 0})
    for each in others:
        each.assign({(grown, 0): 0, (grown, 1): 0})
    for each in (*readers, *others):
        list(each.poll(0.2, 10))
    before = readers[0].topic_ids([topic])
    client.create_partitions({grown: 5})
    client.delete_topics([topic])
    wait_until(lambda: topic not in client.list_topics())
    make(client, topic)
    for each in readers:
        raises(SourceChanged, each, f"topic {topic} was deleted and made anew")
        assert each.topic_ids([topic]) != before
    for each in others:
        raises(Transient, each, f"topic {grown} has 5 partitions instead of 2")
        assert each.partitions(grown) == [(grown, number) for number in range(5)]
    client.delete_topics([grown])


def test_readers_agree_on_what_there_is(readers: list[LogReader], topic: str) -> None:
    ids: list[Mapping[str, str]] = [each.topic_ids([topic, "readers-none"]) for each in readers]
    assert all(each == ids[0] for each in ids)
    assert list(ids[0]) == [topic]
    for each in readers:
        assert each.partitions("readers-none") == []
        assert each.partitions(topic) == [(topic, 0), (topic, 1)]


def test_without_a_broker_it_is_tried_again() -> None:
    [port] = free()
    with pytest.raises(Transient, match="does not answer"):
        ConfluentReader(f"127.0.0.1:{port}", answer_s=1.0)


def test_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "cdc.confluent_reader")
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)  # what the import system does for one that is not there
    with pytest.raises(Fatal, match="uv sync --extra confluent"):
        open_reader(Settings(reader="confluent-kafka"))


def untimed(records: list[Record]) -> list[Record]:
    return [replace(record, timestamp_ms=-1) for record in records]


def test_polls_in_vain_leave_nothing_in_memory(reader: LogReader, producer: KafkaProducer, topic: str) -> None:
    send(producer, (topic, 0), range(1))
    reader.assign({(topic, 0): 0, (topic, 1): 0})
    read(reader, 1)
    memory = Memory(reader.pid if isinstance(reader, ReadingProcess) else os.getpid())
    memory_mb: list[float] = []
    with _collecting_as_projectors_do():
        for _ in range(3_600):
            reader.poll(0.001, 1_000)
            memory_mb.append(memory.now())
    assert max(memory_mb) < memory_mb[600] + 20  # the first ones make what stays


@contextmanager
def _collecting_as_projectors_do() -> Generator[None]:
    default = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*default)

"""The reading process, on a real broker: what it decodes, and what becomes of it and of whoever asks it when one ends.

What it shares with every reader is tried in test_readers.py.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.structs import TopicPartition

from cdc.backlog import BacklogReader
from cdc.change import decode_change, decode_end
from cdc.errors import Fatal, HistoryLost, Transient
from cdc.partitions import Partition
from cdc.reader import Decoded, KafkaPythonReader, Record
from cdc.reading import ReadingProcess
from cdc.topics import admin
from tests.backends import Stack
from tests.envelopes import boundary
from tests.reading import make, offsets_of, raises, read, send, wait_until, whole
from tests.scripted import across

_INSERT = json.dumps(
    {
        "op": "c",
        "after": {"id": 1, "name": "Ünï"},
        "source": {"schema": "public", "table": "things", "lsn": 9, "txId": 7, "ts_us": 1, "sequence": '["8","9"]'},
        "transaction": {"total_order": 1},
    }
).encode()
_START_S = 60.0  # that an interpreter takes at most to begin, on a machine that is busy with something else
_PARENT = """
import sys, time
from cdc.reading import ReadingProcess
reader = ReadingProcess(sys.argv[1], "none")
reader.partitions("none")
print(reader.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[KafkaAdminClient]:
    with admin(stack.settings.kafka) as opened:
        yield opened


@pytest.fixture
def prefix(client: KafkaAdminClient) -> Iterator[str]:
    """That of a topic of two partitions, for messages: they are not decoded."""
    prefix = f"reading-{secrets.token_hex(6)}"
    make(client, f"{prefix}.message")
    yield prefix
    client.delete_topics([f"{prefix}.message"])


@pytest.fixture
def producer(stack: Stack, prefix: str) -> Iterator[KafkaProducer]:
    with closing(KafkaProducer(bootstrap_servers=stack.settings.kafka, acks="all")) as opened:
        yield opened


@pytest.fixture
def reader(stack: Stack, prefix: str) -> Iterator[ReadingProcess]:
    with closing(ReadingProcess(stack.settings.kafka, prefix)) as opened:
        yield opened


def test_changes_and_ends_come_decoded_and_what_a_projector_has_to_look_at_as_it_lies(
    reader: ReadingProcess, producer: KafkaProducer, client: KafkaAdminClient, prefix: str
) -> None:
    decoded = [f"{prefix}.public.things", f"{prefix}.transaction"]
    for topic in decoded:
        make(client, topic)
    table, transactions, messages = [(f"{prefix}.{name}", 0) for name in ("public.things", "transaction", "message")]
    ended = boundary("END", 7, 10, {"public.things": 1})
    headers = [("readside.barrier", b"3")]
    sent: list[tuple[Partition, bytes | None, bytes | None, list[tuple[str, bytes]]]] = [
        (table, b'{"id":1}', _INSERT, []),
        (table, b'{"id":1}', None, headers),
        (table, b'{"id":1}', b'{"op":"c","after":\xff}', []),
        (table, b'{"id":1}', b'{"op":"m","source":{"schema":"public","table":"things"}}', []),
        (transactions, None, boundary("BEGIN", 7, 8, None), []),
        (transactions, None, ended, []),
        (transactions, None, b"{}", []),
        (messages, None, _INSERT, []),
    ]
    for (topic, number), key, value, of_record in sent:
        producer.send(topic, value, key, headers=of_record, partition=number)
    producer.flush()
    reader.assign(dict.fromkeys((table, transactions, messages), 0))
    came: dict[tuple[Partition, int], Record | Decoded] = {}
    wait_until(
        lambda: len(came.update({(r.partition, r.offset): r for r in reader.poll(0.2, 100)}) or came) == len(sent)
    )
    assert came[table, 0] == Decoded(table, 0, decode_change(_INSERT, b'{"id":1}', [], 0, 0))
    assert came[table, 3] == Decoded(table, 3, None)
    assert came[transactions, 0] == Decoded(transactions, 0, None)
    assert came[transactions, 1] == Decoded(transactions, 1, decode_end(ended))
    as_it_lies = [came[place] for place in ((table, 1), (table, 2), (transactions, 2), (messages, 0))]
    assert [(r.value, r.headers) for r in whole(as_it_lies)] == [
        (None, headers),
        (b'{"op":"c","after":\xff}', []),
        (b"{}", []),
        (_INSERT, []),
    ]
    client.delete_topics(decoded)


def test_what_was_asked_for_ahead_is_of_the_assignment_before(
    reader: ReadingProcess, producer: KafkaProducer, client: KafkaAdminClient, prefix: str
) -> None:
    topic = f"{prefix}.message"
    send(producer, (topic, 0), range(6_000), size=200)
    reader.assign({(topic, 0): 0})
    wait_until(lambda: len(reader.poll(0.5, 1_000)) == 1_000)  # as many as that: more are asked for
    assert reader.end_offsets([(topic, 0)]) == {(topic, 0): 6_000}
    following = whole(reader.poll(0.5, 1_000))
    assert following
    assert offsets_of(following, (topic, 0)) == [following[0].offset + n for n in range(len(following))]
    reader.assign({(topic, 0): 5_990})
    assert offsets_of(read(reader, 10), (topic, 0)) == list(range(5_990, 6_000))


def test_an_error_met_ahead_is_told_by_the_poll_that_comes_to_it_and_not_after_another_assignment(
    reader: ReadingProcess, producer: KafkaProducer, client: KafkaAdminClient, prefix: str
) -> None:
    topic = f"{prefix}.message"
    reader.assign({(topic, 0): 0})
    reader.only([])
    send(producer, (topic, 0), range(20))
    client.delete_records({TopicPartition(topic, 0): 10})
    reader.only(None)
    raises(HistoryLost, reader, rf"{topic}\[0\]@0: retention took records")
    reader.assign({(topic, 0): 10})
    assert offsets_of(read(reader, 10), (topic, 0)) == list(range(10, 20))


def test_a_process_that_was_killed_is_told_and_closed(reader: ReadingProcess, prefix: str) -> None:
    topic = f"{prefix}.message"
    reader.assign({(topic, 0): 0})
    os.kill(reader.pid, signal.SIGKILL)
    raises(Transient, reader, "the process that reads Kafka has ended")
    with pytest.raises(Transient, match="the process that reads Kafka has ended"):
        reader.partitions(topic)
    reader.close()


def test_closing_ends_it_though_it_waits_for_records(reader: ReadingProcess, prefix: str) -> None:
    reader.assign({(f"{prefix}.message", 0): 0})
    reader.close()
    assert not Path(f"/proc/{reader.pid}").exists()


def test_it_ends_with_the_process_that_started_it(stack: Stack) -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, stack.settings.kafka], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _runs(pid)
        parent.kill()
    wait_until(lambda: not _runs(pid))


def test_that_no_broker_answers_is_told_by_the_first_call() -> None:
    with closing(_apart("refuses")) as reader:
        wait_until(lambda: reader.ready, deadline_s=_START_S)
        with pytest.raises(Transient, match="Kafka does not answer"):
            reader.poll(0.1, 10)


def test_what_nobody_expects_is_fatal_and_its_text_is_not_told() -> None:
    with closing(_apart("breaks")) as reader, pytest.raises(Fatal, match="ZeroDivisionError; its log says where"):
        reader.partitions("t")
    with closing(_apart("fails")) as reader:
        reader.assign({("t", 0): 0})
        with pytest.raises(Fatal, match="ZeroDivisionError; its log says where"):
            reader.poll(0.1, 10)
        assert reader.partitions("t")  # it goes on answering


def test_long_requests_and_long_answers_do_not_wait_for_each_other() -> None:
    # More than its pipes hold, in both directions.
    with closing(_apart("large")) as reader:
        partitions = reader.partitions("a-topic-with-quite-a-long-name")
        reader.assign({("t", 0): 7})
        records: list[Record] = []
        for left in range(5):
            reader.only(partitions[left:])
            records += whole(reader.poll(0.1, 5_000))
        assert [record.offset for record in records] == list(range(7, 7 + len(records)))
        assert len(records) == 25_000


def test_a_header_without_a_value_comes_as_it_lies() -> None:
    record = Record(("t", 0), 1, None, None, [("a", None), ("b", b"")])
    assert across([record], "none") == [record]


def _apart(behaviour: str) -> ReadingProcess:
    return ReadingProcess(behaviour, "none", program="tests.reader_apart")


def test_a_backlog_is_read_by_a_process_and_what_comes_after_it_here(
    stack: Stack, producer: KafkaProducer, prefix: str
) -> None:
    partitions = [(f"{prefix}.message", number) for number in range(2)]
    for partition in partitions:
        send(producer, partition, range(20_000))
    started: list[ReadingProcess] = []
    with closing(_backlog_reader(stack, prefix, started)) as reader:
        reader.assign(dict.fromkeys(partitions, 0))
        records: list[Record] = []

        # A few at a time until it is ready, so that something is left for it.
        wait_until(lambda: _reads(reader, records, 1) > 0 and started[0].ready, deadline_s=_START_S)
        wait_until(lambda: _reads(reader, records, 2_000) > 0 and started[0].ahead)
        assert len(records) < 40_000
        wait_until(lambda: _reads(reader, records, 2_000) == 40_000, deadline_s=_START_S)
        wait_until(lambda: _reads(reader, records, 2_000) > 40_000 or not _runs(started[0].pid))
        send(producer, partitions[0], [20_000])
        wait_until(lambda: _reads(reader, records, 2_000) == 40_001)
        assert offsets_of(records, partitions[0]) == list(range(20_001))
        assert offsets_of(records, partitions[1]) == list(range(20_000))
    assert len(started) == 1


def test_partitions_wait_whoever_reads(stack: Stack, producer: KafkaProducer, prefix: str) -> None:
    first, second = [(f"{prefix}.message", number) for number in range(2)]
    for partition in (first, second):
        send(producer, partition, range(10_000))
    started: list[ReadingProcess] = []
    with closing(_backlog_reader(stack, prefix, started)) as reader:
        reader.assign({first: 0, second: 0})
        reader.only([second])
        seen: list[Record] = []
        wait_until(lambda: seen.extend(whole(reader.poll(0.1, 1))) or started[0].ready, deadline_s=_START_S)
        wait_until(lambda: seen.extend(whole(reader.poll(0.1, 2_000))) or len(seen) == 10_000, deadline_s=_START_S)
        for _ in range(10):
            assert not reader.poll(0.1, 2_000)
        assert offsets_of(seen, second) == list(range(10_000))
        assert _runs(started[0].pid)  # the other half of the backlog is to be read yet
        reader.only(None)
        wait_until(lambda: seen.extend(whole(reader.poll(0.1, 2_000))) or len(seen) == 20_000)
        assert offsets_of(seen, first) == list(range(10_000))
        wait_until(lambda: not reader.poll(0.1, 2_000) and not _runs(started[0].pid))


def test_where_the_process_ends_amid_a_backlog_it_is_read_on_here(
    stack: Stack, producer: KafkaProducer, prefix: str
) -> None:
    partition = (f"{prefix}.message", 0)
    send(producer, partition, range(30_000))
    started: list[ReadingProcess] = []
    with closing(_backlog_reader(stack, prefix, started)) as reader:
        reader.assign({partition: 0})
        records: list[Record] = []

        wait_until(lambda: _reads(reader, records, 1) > 0 and started[0].ready, deadline_s=_START_S)
        wait_until(lambda: _reads(reader, records, 2_000) > 0 and started[0].ahead)
        os.kill(started[0].pid, signal.SIGKILL)
        wait_until(lambda: _reads(reader, records, 2_000) == 30_000, deadline_s=_START_S)
        assert offsets_of(records, partition) == list(range(30_000))
    assert len(started) == 1


def _reads(reader: BacklogReader, records: list[Record], most: int) -> int:
    """How many records there are with those of another poll."""
    records += whole(reader.poll(0.1, most))
    return len(records)


def _backlog_reader(stack: Stack, prefix: str, started: list[ReadingProcess]) -> BacklogReader:
    def start() -> ReadingProcess:
        started.append(ReadingProcess(stack.settings.kafka, prefix))
        return started[-1]

    return BacklogReader(KafkaPythonReader(stack.settings.kafka), start, backlog=5_000)


def _runs(pid: int) -> bool:
    """Whether it is there, and not as a zombie that nobody has waited for."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False

"""The change stream on a terminal: every change decoded, none skipped without a word, and nobody notices that one looks."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import IO, Any

import httpx
import pytest
from kafka import KafkaAdminClient, KafkaProducer

from cdc.catalog import Column
from cdc.encoding import DATE_INFINITY
from cdc.reader import KafkaPythonReader, Record
from stack import tail
from stack.captured import Captured, named
from stack.errors import StackError
from stack.legible import legible
from stack.tail import line_of, records
from tests.backends import ROOT, Stack
from tests.reading import make

TABLE = Captured(qualified="public.orders", topic="shop.public.orders", mirror="orders", key=("id",))
OTHER = Captured(qualified="sales.orders", topic="shop.sales.orders", mirror="sales.orders", key=("id",))
SOURCE = {"schema": "public", "table": "orders", "txId": 7, "lsn": 24, "ts_us": 1_000_000, "sequence": None}


def record(value: object, key: object = {"id": 1}, headers: list[tuple[str, bytes]] | None = None) -> Record:
    encoded = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return Record((TABLE.topic, 2), 17, json.dumps(key).encode(), encoded, headers or [])


def envelope(op: str, **parts: Any) -> dict[str, Any]:
    return {"op": op, "source": SOURCE, "transaction": {"total_order": 1}, **parts}


def test_an_update_is_told_with_its_place_and_its_transaction() -> None:
    line = line_of(record(envelope("u", after={"id": 1, "total": "2.50"})), TABLE, values=True)
    assert line == {
        "table": "public.orders",
        "op": "update",
        "key": {"id": 1},
        "position": "shop.public.orders[2]@17",
        "lsn": "0/18",
        "xid": 7,
        "committed_at": "1970-01-01T00:00:01.000000Z",
        "old": None,
        "new": {"id": 1, "total": "2.50"},
    }


def test_without_values_no_column_but_the_keys_is_told() -> None:
    line = line_of(record(envelope("c", after={"id": 1, "total": "2.50"})), TABLE, values=False)
    assert line is not None
    assert "2.50" not in json.dumps(line)
    assert line["key"] == {"id": 1}


def test_of_a_deleted_row_only_the_key_is_told_unless_the_source_logs_the_whole() -> None:
    deleted = record(
        envelope("d", before={"id": 1, "total": "0"})
    )  # filled in by Debezium: nobody deleted a total of 0
    told = line_of(deleted, TABLE, values=True)
    assert told is not None
    assert (told["old"], told["new"]) == ({"id": 1}, None)
    whole = Captured(qualified="public.orders", topic=TABLE.topic, mirror="orders", key=("id",), whole=True)
    told = line_of(deleted, whole, values=True)
    assert told is not None
    assert told["old"] == {"id": 1, "total": "0"}


@pytest.mark.parametrize("value", [b"{", b'{"name": "x"}', b"\xff", b"null", b'"text"'], ids=repr)
def test_a_damaged_record_is_told_as_such(value: bytes) -> None:
    line = line_of(record(value), TABLE, values=False)
    assert line is not None
    assert (line["op"], line["position"], line["table"]) == ("damaged", "shop.public.orders[2]@17", "public.orders")
    assert line["reason"]


def test_what_is_no_change_is_left_out() -> None:
    assert line_of(record(None), TABLE, values=True) is None
    assert line_of(record(envelope("m")), TABLE, values=True) is None


@pytest.mark.parametrize(
    ("base_type", "value", "read"),
    [
        ("date", 20_783, "2026-11-26"),
        ("date", DATE_INFINITY, "infinity"),
        ("date", None, None),
        ("timestamp", 1_000_001, "1970-01-01T00:00:01.000001"),
        ("timestamp", 9223372036854775807, "infinity"),
        ("time", 86_400_000_000, "24:00:00"),
        ("jsonb", '{"a": [1]}', {"a": [1]}),
        ("bytea", "00ff", "\\x00ff"),
        ("pg_lsn", "302f31", "0/1"),
        ("numeric", "1.50", "1.50"),
        ("date", "not as dates are sent", "not as dates are sent"),
    ],
)
def test_values_are_read_as_postgresql_writes_them(base_type: str, value: object, read: object) -> None:
    assert legible(value, Column(name="c", type=base_type, base_type=base_type)) == read


def test_a_table_is_named_with_or_without_its_schema() -> None:
    users = Captured(qualified="public.users", topic="shop.public.users", mirror="users")
    tables = (TABLE, OTHER, users)
    assert named(tables, "users") is users
    assert named(tables, "sales.orders") is OTHER
    with pytest.raises(StackError, match=r"orders is the name of public\.orders, sales\.orders"):
        named(tables, "orders")
    with pytest.raises(StackError, match=r"user is not captured; did you mean public\.users\?"):
        named(tables, "user")
    with pytest.raises(StackError, match=r"zzz is not captured; there are public\.orders, "):
        named(tables, "zzz")


def test_changes_come_as_they_are_made_and_ctrl_c_ends_it_quietly(stack: Stack) -> None:
    stack.wait_healthy()
    with tailing(stack, "users") as (process, lines):
        email = new_user(stack)
        line = next(line for line in lines if line["new"]["email"] == email)
        assert (line["table"], line["op"]) == ("public.users", "insert")
        assert line["position"].startswith(f"{stack.settings.topic_prefix}.public.users[")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read().splitlines()[1:] == []


def test_ctrl_c_ends_it_though_the_client_keeps_what_is_raised_in_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Keeping(KafkaPythonReader):
        """Ctrl-C comes in the middle of its second poll, and goes no further."""

        polls = 0

        def poll(self, timeout_s: float, most_records: int) -> Sequence[Record]:
            self.polls += 1
            if self.polls == 2:
                with suppress(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGINT)
            return super().poll(timeout_s, most_records)

    monkeypatch.setattr(tail, "open_reader", lambda settings: Keeping(settings.kafka))
    before, began = signal.getsignal(signal.SIGINT), time.monotonic()
    assert tail.run(stack.settings, ["users"], begin="end", limit=None, values=True) == 0
    assert time.monotonic() - began < 20
    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().out == ""


def test_it_ends_quietly_when_its_reader_goes(stack: Stack) -> None:
    new_user(stack)
    with tailing(stack, "--from", "beginning", "--no-values") as (process, lines):
        next(lines)
        assert process.stdout is not None
        process.stdout.close()
        new_user(stack)
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_it_joins_no_group_and_keeps_values_to_itself_where_asked(stack: Stack) -> None:
    email = new_user(stack)
    with closing(KafkaAdminClient(bootstrap_servers=stack.settings.kafka.split(","))) as admin:
        untyped: Any = admin
        groups = sorted(map(str, untyped.list_groups()))
        with tailing(stack, "users", "--from", "beginning", "--no-values", "--limit", "1") as (process, lines):
            assert "new" not in next(lines)
            assert process.wait(20) == 0
            assert process.stderr is not None
            assert email not in process.stderr.read()
        assert sorted(map(str, untyped.list_groups())) == groups


def test_a_damaged_record_in_a_real_topic_does_not_end_it(stack: Stack) -> None:
    """In a topic of its own, so that no store meets it."""
    topic = f"{stack.settings.topic_prefix}.elsewhere.damaged_{secrets.token_hex(4)}"
    table = Captured(qualified=topic.partition(".")[2], topic=topic, mirror="damaged")
    with closing(KafkaAdminClient(bootstrap_servers=stack.settings.kafka.split(","))) as admin:
        make(admin, topic)
        try:
            with closing(KafkaProducer(bootstrap_servers=stack.settings.kafka.split(","))) as producer:
                for value in (b"{", json.dumps(envelope("c", after={"id": 1})).encode()):
                    producer.send(topic, key=b'{"id": 1}', value=value, partition=0).get(20)
            with closing(records(stack.settings, [topic], "beginning", threading.Event())) as read:
                lines = [line_of(next(read), table, values=False) for _ in range(2)]
        finally:
            admin.delete_topics([topic])
    assert [line and line["op"] for line in lines] == ["damaged", "insert"]


def test_mistakes_are_said(stack: Stack) -> None:
    ran = readside(stack, "tail", "no_such_table")
    assert ran.returncode == 2
    assert "no_such_table is not captured; there are public." in ran.stderr
    assert readside(stack, "tail", "--from", "yesterday").returncode == 64
    assert readside(stack, "tail", "--limit", "0").returncode == 64


@contextmanager
def tailing(stack: Stack, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Iterator[dict[str, Any]]]]:
    """``readside tail`` once it says that it reads; it is gone afterwards."""
    command = [sys.executable, "-m", "stack", "tail", *arguments, "--data-dir", str(stack.settings.data_dir)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        first = process.stderr.readline()
        assert "Ctrl-C ends it" in first, first + process.stderr.read()
        yield process, map(json.loads, _lines(process.stdout))
    finally:
        process.kill()
        process.communicate()


def _lines(stream: IO[str]) -> Iterator[str]:
    while line := stream.readline():
        yield line


def new_user(stack: Stack) -> str:
    email = f"{secrets.token_hex(6)}@example.com"
    body = {"email": email, "first_name": "Ada", "last_name": "Byron"}
    httpx.post(f"http://{stack.settings.writer_address}/users", json=body, timeout=10).raise_for_status()
    return email


def readside(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stack", *arguments, "--data-dir", str(stack.settings.data_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

"""A scripted log: Kafka's partitions as lists, filled with Debezium's records of real changes of a real PostgreSQL.

Changes are captured by triggers, in the transaction that makes them, and written as Debezium 3.7 writes them under
cdc/connector.toml. What a test decides is the interleaving, the duplicates and the crashes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from cdc.catalog import Table, message_topic, topic_of, topics_of, transaction_topic
from cdc.decoding import decoded
from cdc.partitions import Partition
from cdc.reader import Decoded, Record
from cdc.reading import Records, decode_reply, encode
from cdc.unavailable import PLACEHOLDER
from tests.envelopes import boundary, encoded

PREFIX = "shop"
PARTITIONS = 4
#: Texts of at least this many characters count as stored out of line: an update that leaves one alone sends a placeholder.
TOASTED = 200

_CAPTURE = """
    create schema if not exists scripted;
    create table scripted.change (
        place bigint generated always as identity, xid xid8 not null default pg_current_xact_id(),
        "table" text not null, op text not null, before jsonb, after jsonb,
        copied boolean not null default current_query() ~* '^\\s*copy ');
    create function scripted.capture() returns trigger language plpgsql security definer as $$
    begin
        insert into scripted.change ("table", op, before, after)
        values (tg_table_schema || '.' || tg_table_name, lower(left(tg_op, 1)),
                case when tg_level = 'ROW' and tg_op <> 'INSERT' then to_jsonb(old) end,
                case when tg_level = 'ROW' and tg_op <> 'DELETE' then to_jsonb(new) end);
        return null;
    end $$;
"""


@dataclass(slots=True)
class Committed:
    """One source transaction as records: (partition key, topic, key, value, headers), BEGIN and END aside."""

    xid: int
    end_lsn: int
    previous_end: int | None
    rows: list[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    order: int = 0


class ScriptedLog:
    """Kafka's part: partitions with records, readable through ``reader()``."""

    def __init__(self, tables: Iterable[Table]) -> None:
        self.tables = tuple(tables)
        self.topics = topics_of(PREFIX, self.tables)
        self.partitions: dict[Partition, list[Record]] = {
            (topic, number): [] for topic in self.topics for number in range(PARTITIONS)
        } | {(transaction_topic(PREFIX), 0): [], (message_topic(PREFIX), 0): []}
        self.topic_ids = {topic: f"id of {topic}" for topic, _ in self.partitions}
        self.transactions: list[Committed] = []

    def append(self, topic: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        """A record at its partition's end."""
        counted = [number for name, number in self.partitions if name == topic]
        number = sum(key or b"") % len(counted)
        records = self.partitions[topic, number]
        records.append(Record((topic, number), len(records), key, value, headers))

    def send(self, transaction: Committed, *, rows: int | None = None, fresh_start: bool = False) -> None:
        """Write a transaction's records; only the first ``rows`` and no END for a connector that died there."""
        topic = transaction_topic(PREFIX)
        self.append(topic, None, boundary("BEGIN", transaction.xid, transaction.end_lsn - 1, None), [])
        for row_topic, key, value, headers in transaction.rows[:rows]:
            if fresh_start and value is not None:
                envelope = json.loads(value)
                envelope["source"]["sequence"] = json.dumps([None, str(envelope["source"]["lsn"])])
                value = json.dumps(envelope).encode()
            self.append(row_topic, key, value, headers)
        if rows is None:
            self.append(topic, None, boundary("END", transaction.xid, transaction.end_lsn, transaction.counts), [])


class ScriptedSource:
    """A database whose changes go into a ScriptedLog when ``flush`` is called."""

    def __init__(self, dsn: str, log: ScriptedLog) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.log = log
        self._by_name = {table.qualified: table for table in log.tables}
        self.connection.execute(_CAPTURE)
        for table in log.tables:
            name = f'"{table.schema}"."{table.name}"'
            self.connection.execute(
                f"create trigger a_capture after insert or update or delete on {name} "
                "for each row execute function scripted.capture();"
                f"create trigger a_capture_truncate after truncate on {name} "
                "for each statement execute function scripted.capture()"
            )

    def close(self) -> None:
        self.connection.close()

    def flush(self) -> list[Committed]:
        """The transactions since the last flush, not sent yet: in commit order if at most one of them overlaps others."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            set_json_loads(partial(json.loads, parse_float=Decimal), cursor)  # 1.00 is not 1.0
            rows = cursor.execute(
                """delete from scripted.change
                   returning place, xid::text::bigint & x'ffffffff'::bigint as xid, "table", op, before, after, copied"""
            ).fetchall()
        by_xid: dict[int, list[dict[str, Any]]] = {}
        for row in sorted(rows, key=lambda row: row["place"]):
            by_xid.setdefault(row["xid"], []).append(row)
        committed = [self._committed(xid, changes) for xid, changes in by_xid.items()]
        for transaction in committed[-1:]:
            transaction.end_lsn = self.wal_position()
        return committed

    def learn(self, tables: Iterable[Table]) -> None:
        """Write images of these tables' columns from now on."""
        self.log.tables = tuple(tables)
        self._by_name = {table.qualified: table for table in self.log.tables}

    def image(self, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
        """A whole row as Debezium writes it, from what to_jsonb() says."""
        return self._image(table, row, None)

    def pulse(self) -> Committed:
        """A transaction that changes nothing, committed now."""
        pulse = self._committed(self._value("select pg_current_xact_id()::text::bigint & x'ffffffff'::bigint"), [])
        pulse.end_lsn = self.wal_position()
        return pulse

    def _committed(self, xid: int, changes: list[dict[str, Any]]) -> Committed:
        previous = self.log.transactions[-1].end_lsn if self.log.transactions else None
        transaction = Committed(xid, 0, previous)
        self.log.transactions.append(transaction)
        begun: dict[str, Any] | None = None  # the COPY that the row before belongs to: its page's rows share one LSN
        for row in changes:
            begun = (begun if begun and begun["table"] == row["table"] else row) if row["copied"] else None
            self._add(transaction, row, lsn_of((begun or row)["place"]))
            transaction.end_lsn = lsn_of(row["place"]) + 50
        return transaction

    def wal_position(self) -> int:
        """A position behind everything that was written."""
        return lsn_of(self._value("select nextval(pg_get_serial_sequence('scripted.change', 'place'))"))

    def _value(self, query: str) -> int:
        row = self.connection.execute(query).fetchone()  # pyright: ignore[reportArgumentType]
        assert row is not None
        return row[0]

    def _add(self, transaction: Committed, row: Mapping[str, Any], lsn: int) -> None:
        table = self._by_name[row["table"]]
        if row["op"] == "t":
            self._event(transaction, lsn, table, "t", None, None)
            return
        before, after = row["before"], row["after"]
        old_key = None if before is None else self._key(table, before)
        new_key = None if after is None else self._key(table, after)
        if row["op"] == "u" and old_key != new_key:
            assert old_key is not None and new_key is not None
            self._event(transaction, lsn, table, "d", old_key, None, [("__debezium.newkey", new_key)])
            self._event(
                transaction,
                lsn,
                table,
                "c",
                new_key,
                self._image(table, after, before),
                [("__debezium.oldkey", old_key)],
            )
        elif row["op"] == "d":
            self._event(transaction, lsn, table, "d", old_key, None)
        else:
            op = "c" if row["op"] == "i" else "u"
            self._event(transaction, lsn, table, op, new_key, self._image(table, after, before if op == "u" else None))

    def _event(
        self,
        transaction: Committed,
        lsn: int,
        table: Table,
        op: str,
        key: bytes | None,
        after: dict[str, Any] | None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        transaction.order += 1
        transaction.counts[table.qualified] = transaction.counts.get(table.qualified, 0) + 1
        previous = transaction.previous_end
        envelope = {
            "before": None,
            "after": after,
            "source": {
                "version": "3.7.0.Final",
                "ts_us": lsn * 1000,
                "sequence": json.dumps([None if previous is None else str(previous), str(lsn)]),
                "schema": table.schema,
                "table": table.name,
                "txId": transaction.xid,
                "lsn": lsn,
            },
            "transaction": {"id": f"{transaction.xid}:{lsn}", "total_order": transaction.order},
            "op": op,
        }
        topic = topic_of(PREFIX, table)
        transaction.rows.append((topic, key, json.dumps(envelope, default=float).encode(), headers or []))
        if op == "d":
            transaction.rows.append((topic, key, None, headers or []))

    def _key(self, table: Table, row: Mapping[str, Any]) -> bytes:
        image = self._image(table, row, None)
        return json.dumps({name: image[name] for name in table.key}, default=float).encode()

    def _image(self, table: Table, row: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
        image: dict[str, Any] = {}
        for column in table.columns:
            if column.generated:
                continue
            value = row[column.name]
            stored = json.dumps(value, default=float) if column.base_type in ("json", "jsonb") else value
            if (
                isinstance(stored, str)
                and len(stored) >= TOASTED
                and before is not None
                and before[column.name] == value
            ):
                image[column.name] = PLACEHOLDER
            elif value is None:
                image[column.name] = None
            else:
                image[column.name] = encoded(column.base_type, column.type, value)
        return image


class ScriptedReader:
    """``LogReader`` over a ScriptedLog: one partition at a time, as ``choose`` says, a few records at a time.

    What every second poll gives has been what a reading process sends.
    """

    def __init__(self, log: ScriptedLog, choose: Any, prefix: str = PREFIX) -> None:
        self._log = log
        self._prefix = prefix
        self._across = False
        self._choose = choose  # list of partitions with unread records → one of them; None reads everything in turn
        self._next: dict[Partition, int] = {}
        self._only: Collection[Partition] | None = None

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        self._next = dict(offsets)

    def poll(self, timeout_s: float, most_records: int) -> list[Record | Decoded]:
        if not (unread := self.unread()):
            return []
        partition, count = self._choose(unread)
        offset = self._next[partition]
        records = self._log.partitions[partition][offset : offset + count]
        self._next[partition] = offset + len(records)
        self._across = not self._across
        return across(records, self._prefix) if self._across else [*records]

    def unread(self) -> list[Partition]:
        """Those that may be read and have something to read."""
        allowed = ((p, offset) for p, offset in self._next.items() if self._only is None or p in self._only)
        return [p for p, offset in allowed if offset < len(self._log.partitions[p])]

    def only(self, partitions: Collection[Partition] | None) -> None:
        self._only = partitions

    def drained(self) -> bool:
        return all(offset >= len(self._log.partitions[p]) for p, offset in self._next.items())

    def begin_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return {p: len(self._log.partitions[p]) for p in partitions}

    def partitions(self, topic: str) -> list[Partition]:
        return [p for p in self._log.partitions if p[0] == topic]

    def topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        return {topic: self._log.topic_ids[topic] for topic in topics}

    def close(self) -> None:
        return


def across(records: Sequence[Record], prefix: str) -> list[Record | Decoded]:
    """What a projector gets of these records from a reading process."""
    sent = Records([decoded(record, transaction_topic(prefix), message_topic(prefix)) for record in records])
    came = decode_reply(encode(sent))
    assert isinstance(came, Records)
    return came.value


def lsn_of(place: int) -> int:
    """The imaginary WAL's position of a captured change."""
    return 1000 + 100 * place

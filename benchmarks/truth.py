"""What was committed, row by row, as the database itself tells it, and what of it lies in Kafka."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import psycopg
from psycopg.sql import SQL, Identifier

from cdc.assembler import Assembler
from cdc.catalog import Table, topics_of, transaction_topic
from cdc.change import Change, decode_change, decode_end
from cdc.reader import KafkaPythonReader, Record
from config.settings import Settings

Event = tuple[int, str, str, int]  # xid (32 bit), schema.table, op (c, u, d), id
Events = Counter[Event]

_WATCH = """
    create schema upstream;
    create table upstream.change (
        xid xid8 default pg_current_xact_id(), "table" text, op text, old_id bigint, new_id bigint);
    create function upstream.note() returns trigger language plpgsql security definer as $$
    begin
        insert into upstream.change ("table", op, old_id, new_id)
        values (tg_table_schema || '.' || tg_table_name, tg_op,
                case when tg_op <> 'INSERT' then old.id end, case when tg_op <> 'DELETE' then new.id end);
        return null;
    end $$;
"""


def watch(admin: psycopg.Connection[Any], tables: Sequence[Table]) -> None:
    """Note every row change of these tables, in the transaction that makes it."""
    admin.execute(_WATCH)
    for table in tables:
        admin.execute(
            SQL(
                "create trigger upstream after insert or update or delete on {} "
                "for each row execute function upstream.note()"
            ).format(Identifier(table.schema, table.name))
        )


def committed(admin: psycopg.Connection[Any]) -> Events:
    """Everything noted, as Debezium speaks of it: a key change is a delete and a create."""
    events: Events = Counter()
    query = """select xid::text::bigint & x'ffffffff'::bigint, "table", op, old_id, new_id from upstream.change"""
    for xid, table, op, old, new in admin.execute(query):
        if op == "UPDATE" and old == new:
            events[xid, table, "u", new] += 1
            continue
        if old is not None:
            events[xid, table, "d", old] += 1
        if new is not None:
            events[xid, table, "c", new] += 1
    return events


def sent(settings: Settings, tables: Sequence[Table]) -> Events:
    """What lies in a captor's topics, once, however often it was sent."""
    places = {_place(change) for change in _changes(settings, tables)}
    return Counter(event for event, _ in places)


def assembled(settings: Settings, tables: Sequence[Table]) -> Events:
    """What readside makes of the topics: whole transactions, counted as often as they are handed out."""
    events: Events = Counter()
    assembler = Assembler([table.qualified for table in tables], transaction_topic(settings.topic_prefix))
    for record in _records(settings, tables):
        if record.value is None:
            continue
        if record.partition[0] == transaction_topic(settings.topic_prefix):
            if (end := decode_end(record.value)) is not None:
                assembler.add_end(record.partition, record.offset, end)
        elif (change := decode_change(record.value, record.key, record.headers)) is not None and change.op != "r":
            assembler.add(record.partition, record.offset, change)
        for transaction in assembler.take(10_000):
            events.update(_place(each)[0] for each in transaction.changes)
    return events


def state_differences(settings: Settings, tables: Sequence[Table], admin: psycopg.Connection[Any]) -> int:
    """Rows that a table made of the topics' records lacks, or has and the source has not, or has in another version."""
    kept: dict[str, dict[int, Any]] = {table.qualified: {} for table in tables}
    for change in _changes(settings, tables, snapshot=True):
        id = _id(change)
        if change.op == "d":
            kept[change.table].pop(id, None)
        else:
            kept[change.table][id] = msgspec.json.decode(change.row or b"{}").get("version")
    differences = 0
    for table in tables:
        version = Identifier("version") if "version" in {column.name for column in table.columns} else SQL("null")
        query = SQL("select id, {} from {}").format(version, Identifier(table.schema, table.name))
        source = dict(admin.execute(query).fetchall())
        ids = source.keys() | kept[table.qualified].keys()
        differences += sum(source.get(id, ...) != kept[table.qualified].get(id, ...) for id in ids)
    return differences


def _changes(settings: Settings, tables: Sequence[Table], *, snapshot: bool = False) -> Iterator[Change]:
    for record in _records(settings, tables):
        if record.value is not None and record.partition[0] != transaction_topic(settings.topic_prefix):
            change = decode_change(record.value, record.key, record.headers)
            if change is not None and (snapshot or change.op != "r"):
                yield change


def _records(settings: Settings, tables: Sequence[Table]) -> Iterator[Record]:
    reader = KafkaPythonReader(settings.kafka)
    try:
        topics = [*topics_of(settings.topic_prefix, tables), transaction_topic(settings.topic_prefix)]
        partitions = [partition for topic in topics for partition in reader.partitions(topic)]
        ends = reader.end_offsets(partitions)
        unread = {partition for partition, end in ends.items() if end > 0}
        reader.assign(dict.fromkeys(partitions, 0))
        idle = 0
        while unread and idle < 3:  # control records leave gaps: the last offset may hold no record
            reader.only(unread)
            idle += 1
            for record in reader.poll(1.0, 10_000):
                if record.offset + 1 >= ends[record.partition]:
                    unread.discard(record.partition)
                if record.offset < ends[record.partition]:
                    idle = 0
                    yield record
    finally:
        reader.close()


def _place(change: Change) -> tuple[Event, int]:
    assert change.xid is not None
    return (change.xid, change.table, change.op, _id(change)), change.lsn


def _id(change: Change) -> int:
    assert change.key is not None
    return msgspec.json.decode(change.key)["id"]

"""What real Debezium sent for every type, without Kafka: the recorded records give the rows that PostgreSQL said there were.

fixtures/debezium/zoo.json.gz is recorded by ``pytest tests/cdc/test_faithful.py --record=…``.
"""

from __future__ import annotations

import gzip
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc.catalog import message_topic, read_tables
from cdc.change import decode_change
from cdc.control import Control, Snapshot
from cdc.reader import Decoded, Record
from cdc.shapes import read_shapes
from config.settings import Settings
from projectors.analytics.store import AnalyticsStore
from projectors.loop import Projector
from projectors.read_model import Declarations, ReadModel
from projectors.serving.store import ServingStore
from tests import zoo
from tests.followed import PLAIN, publish, rows_as_text, run, sql
from tests.scripted import ScriptedLog, ScriptedReader

RECORDED = Path(__file__).parents[1] / "fixtures" / "debezium" / "zoo.json.gz"
ZOO = {"scalars": zoo.SCALARS, "arrays": zoo.ARRAYS, "long": zoo.LONG}


class RecordedReader(ScriptedReader):
    """``LogReader`` over recorded records; sets ``stop`` when all are read."""

    def __init__(self, records: list[Any], stop: threading.Event) -> None:
        log = ScriptedLog(())
        log.partitions = {(message_topic("zoo"), 0): []}
        for each in records:
            key, value = (None if each[part] is None else each[part].encode() for part in ("key", "value"))
            headers = [(name, told.encode()) for name, told in each["headers"]]
            partition = (each["topic"], each["partition"])
            log.partitions.setdefault(partition, []).append(Record(partition, each["offset"], key, value, headers))
        log.topic_ids = {topic: topic for topic, _ in log.partitions}
        super().__init__(log, lambda unread: (unread[0], 10_000), "zoo")
        self.log = log.partitions
        self._stop = stop

    def poll(self, timeout_s: float, most_records: int) -> list[Record | Decoded]:
        records = super().poll(timeout_s, most_records)
        if self.drained():
            self._stop.set()
        return records

    def control(self) -> Control:
        begin: dict[str, dict[str, int]] = {}
        end: dict[str, dict[str, int]] = {}
        for (topic, number), records in self.log.items():
            offsets = [record.offset + 1 for record in records if b'"op":"r"' in (record.value or b"")]
            begin.setdefault(topic, {})[str(number)] = 0
            end.setdefault(topic, {})[str(number)] = max(offsets, default=0)
        return Control((Snapshot(system_identifier=1, database="zoo", slot="zoo", begin=begin, end=end),))


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    return json.loads(gzip.decompress(RECORDED.read_bytes()))


def test_recorded_records_applied_as_one_batch_give_the_rows_of_the_source(recorded, shop_database, store_database):
    with psycopg.connect(shop_database, autocommit=True) as source:
        run(source, (*zoo.create(), sql("setup")))
        publish(source, "zoo")
    tables = read_tables(shop_database, "zoo")
    stop = threading.Event()
    reader = RecordedReader(recorded["records"], stop)
    store = ServingStore(store_database, tables, Declarations(), shapes=read_shapes(shop_database, "zoo"))
    settings = Settings(topic_prefix="zoo")
    try:
        Projector(settings, store, tables, reader, control=reader.control).run(stop)
    finally:
        store.close()
    with psycopg.connect(store_database, options=PLAIN) as mirror:
        for table in tables:
            assert rows_as_text(mirror, table, source=False) == recorded["rows"][table.qualified], table.name


def test_the_recording_has_at_least_70_types_in_every_operation_that_carries_values(recorded):
    ops = {
        (name, json.loads(record["value"])["op"])
        for record in recorded["records"]
        for name in ZOO
        if record["topic"] == f"zoo.public.{name}" and record["value"]
    }
    assert len({*zoo.SCALARS, *zoo.LONG, *(f"{kind}[]" for kind in zoo.ARRAYS)}) >= 70
    assert {(name, op) for name in ZOO for op in "rcu"} <= ops


def test_every_form_of_a_long_value_that_was_not_sent_again_is_recognised(recorded):
    update = next(
        decode_change(record["value"].encode(), record["key"].encode(), [])
        for record in recorded["records"]
        if record["topic"] == "zoo.public.long" and '"op":"u"' in (record["value"] or "")
    )
    assert update is not None and update.row is not None
    assert update.partial
    assert set(json.loads(update.row)) == {"id", "small"}


#: Types that DuckDB has too, or keeps as text, and writes as PostgreSQL does but for the era.
SAME_IN_DUCKDB = (
    "boolean", "smallint", "int", "bigint", "numeric(6)", "text", "varchar(5)", "uuid", "mood", "posint", "long_ago", "date",
    "time", "time(3)", "timestamp", "timestamp(0)", "timestamp(3)", "tstzrange", "tsvector", "pg_lsn",
    "int4multirange", "json", "jsonb", "citext", "ltree",
)  # fmt: skip
COPY = ReadModel(
    name="copy",
    key=("id",),
    columns="id integer",
    affected_by={"scalars": "select id from changed"},
    query="select s.id from mirror.scalars s where s.id in (select id from affected)",
    comment="every row",
    store="analytics",
)


def test_the_analytics_mirror_holds_the_same_values_where_duckdb_has_the_type(recorded, shop_database, tmp_path):
    with psycopg.connect(shop_database, autocommit=True) as source:
        run(source, (*zoo.create(), sql("setup")))
        publish(source, "zoo")
    [scalars] = [table for table in read_tables(shop_database, "zoo") if table.name == "scalars"]
    # DuckDB's decimals have no NaN, and its times end before 294248: such a value stops the store.
    beyond = ("numeric(10", "timestamp with time zone")
    columns = tuple(column for column in scalars.columns if not column.type.startswith(beyond))
    stop = threading.Event()
    reader = RecordedReader(recorded["records"], stop)
    tables = [replace(scalars, columns=columns)]
    shapes = read_shapes(shop_database, "zoo")
    store = AnalyticsStore(tmp_path / "live.duckdb", tables, Declarations((COPY,)), memory_limit="1GB", shapes=shapes)
    try:
        Projector(Settings(topic_prefix="zoo"), store, tables, reader, control=reader.control).run(stop)
        place = {kind: number for number, kind in enumerate(zoo.SCALARS)}
        reading = store.cursor()
        for kind in SAME_IN_DUCKDB:
            query = f"select {zoo.column(place[kind])}::varchar from mirror.scalars order by '(' || id || ')'"
            mirrored = [as_postgresql(value) for (value,) in reading.execute(query).fetchall()]
            assert mirrored == [row[place[kind] + 1] for row in recorded["rows"]["public.scalars"]], kind
    finally:
        store.close()


def as_postgresql(value: str | None) -> str | None:
    if value is None:
        return None
    return value.replace(" (BC)", "") + " BC" if "(BC)" in value else value

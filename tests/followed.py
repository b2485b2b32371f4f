"""A database of every type and every row change, followed by a connector and a projector of its own beside the stack's."""

from __future__ import annotations

import gzip
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier
from pydantic import SecretStr

from cdc.catalog import Table, topics_of, transaction_topic
from cdc.connect import Connect
from cdc.connector import supervise
from cdc.errors import Transient
from cdc.reader import KafkaPythonReader, Record
from config.settings import Settings
from projectors.loop import Projector
from projectors.read_model import Declarations
from projectors.run import captured_shapes, captured_tables
from projectors.serving.store import ServingStore
from tests import zoo
from tests.databases import eventually

ROWS = Path(__file__).parent / "fixtures" / "rows"
_NAME = r'(?:"(?:""|[^"])+"|\w+)'
#: The tables of fixtures/rows, as SQL writes their names.
TABLES = re.findall(rf"create table ({_NAME}(?:\.{_NAME})?) \(", (ROWS / "setup.sql").read_text())
#: Both databases' values are compared as text, under the same settings.
PLAIN = (
    "-c TimeZone=UTC -c IntervalStyle=postgres -c extra_float_digits=3 -c lc_monetary=C -c DateStyle=ISO "
    "-c bytea_output=hex"
)
#: The source's own settings, which must not reach the values.
SETTINGS = {
    "intervalstyle": "sql_standard",
    "bytea_output": "escape",
    "datestyle": "German",
    "timezone": "Asia/Kolkata",
    "extra_float_digits": "-15",
}


class Followed:
    """A source database and its mirror, a connector and a projector at work between them."""

    def __init__(self, settings: Settings) -> None:
        assert settings.admin_dsn and settings.source_dsn and settings.serving_dsn
        self.name = f"zoo_{secrets.token_hex(4)}"
        self.admin_dsn = settings.admin_dsn.get_secret_value()
        self.capture, self.projector = settings.source_dsn.get_secret_value(), settings.serving_dsn.get_secret_value()
        names = {key: self.name for key in ("topic_prefix", "slot", "connector", "publication")}
        dsns = {
            "source_dsn": SecretStr(make_conninfo(self.capture, dbname=self.name)),
            "serving_dsn": SecretStr(make_conninfo(self.projector, dbname=f"{self.name}_mirror")),
        }
        self.settings = settings.model_copy(update=names | dsns)
        self.tables: dict[str, Table] = {}
        self.failed: list[BaseException] = []
        self._stop = threading.Event()
        runs = (self._supervise, self._project)
        self._threads = [threading.Thread(target=self._noting_failure, args=(run,)) for run in runs]

    def source(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.admin_dsn, dbname=self.name, options=PLAIN, autocommit=True)

    def mirror(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.admin_dsn, dbname=f"{self.name}_mirror", options=PLAIN, autocommit=True)

    def make_databases(self) -> None:
        """Make source and store, empty."""
        owner = Identifier(str(conninfo_to_dict(self.projector)["user"]))
        with psycopg.connect(self.admin_dsn, autocommit=True) as admin:
            admin.execute(SQL("create database {}").format(Identifier(self.name)))
            admin.execute(SQL("create database {} owner {}").format(Identifier(f"{self.name}_mirror"), owner))
            for name, value in SETTINGS.items():
                admin.execute(
                    SQL("alter database {} set {} = {}").format(Identifier(self.name), Identifier(name), value)
                )

    def fill(self) -> None:
        """Make the tables, their first rows and the publication."""
        role = Identifier(str(conninfo_to_dict(self.capture)["user"]))
        grant = SQL("grant usage on schema {0} to {1}; grant select on all tables in schema {0} to {1}")
        with self.source() as source:
            run(source, (*zoo.create(), sql("setup"), *zoo.insert(1), sql("before")))
            for (schema,) in source.execute("select nspname from pg_namespace where nspname !~ '^pg_|^inf'").fetchall():
                source.execute(grant.format(Identifier(schema), role))
            publish(source, self.name)

    def start(self) -> None:
        """Begin to follow; returns when the snapshot is in the mirror."""
        self.tables = {table.qualified: table for table in captured_tables(self.settings)}
        for thread in self._threads:
            thread.start()
        self.wait(self._streams, "the snapshot is loaded")

    def change(self) -> None:
        """Make every change, each statement group a transaction, and wait until the mirror has them all."""
        with self.source() as source:
            run(source, (*zoo.stream(101), *sql("after").split(";;")))
            with source.transaction():
                source.execute("insert into key_only values (1000)")
                last = source.execute("select pg_current_xact_id()::xid::text::bigint").fetchone()
        self.wait(lambda: self._has_applied(last), "the last transaction is applied")

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        eventually(lambda: bool(self.failed) or holds(), what=what, deadline_s=60)
        if self.failed:
            raise self.failed[0]

    def close(self) -> None:
        """Stop everything and leave nothing."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(30)
        with closing(Connect(self.settings.connect_url, self.name)) as connect:
            connect.stop()
        slot = {"name": self.name}
        drop = """
            select pg_drop_replication_slot(slot_name)
              from pg_replication_slots
             where slot_name = %(name)s and not active
        """
        left = "select from pg_replication_slots where slot_name = %(name)s"
        with psycopg.connect(self.admin_dsn, autocommit=True) as admin:
            eventually(
                lambda: admin.execute(drop, slot) and admin.execute(left, slot).rowcount == 0, what="the slot is free"
            )
            for name in (self.name, f"{self.name}_mirror"):
                admin.execute(SQL("drop database {} with (force)").format(Identifier(name)))

    def record(self, path: Path) -> None:
        """Write all records and what the source says of their rows, for tests without Kafka."""
        wanted = topics_of(self.name, list(self.tables.values()))
        with closing(KafkaPythonReader(self.settings.kafka)) as reader:
            partitions = [p for topic in (*wanted, transaction_topic(self.name)) for p in reader.partitions(topic)]
            ends = reader.end_offsets(partitions)
            reader.assign(dict.fromkeys(partitions, 0))
            records: list[Any] = []
            while len(records) < sum(ends.values()):
                records += [_recorded(record, self.name) for record in reader.poll(0.5, 10_000)]
        with self.source() as source:
            rows = {name: rows_as_text(source, table, source=True) for name, table in self.tables.items()}
        path.write_bytes(gzip.compress(json.dumps({"records": records, "rows": rows}).encode(), mtime=0))

    def _streams(self) -> bool:
        with self.mirror() as mirror:
            there = mirror.execute("select to_regclass('readside.checkpoint')").fetchone() != (None,)
            return there and mirror.execute("select phase from readside.checkpoint").fetchone() == ("streaming",)

    def _has_applied(self, xid: Any) -> bool:
        with self.mirror() as mirror:
            return bool(mirror.execute("select from readside.recent_transactions where xid = %s", xid).fetchall())

    def _noting_failure(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as exc:
            self.failed.append(exc)

    def _supervise(self) -> None:
        while not self._stop.is_set():
            try:
                supervise(self.settings, self._stop)
            except Transient:
                self._stop.wait(0.5)

    def _project(self) -> None:
        assert self.settings.serving_dsn
        tables = tuple(self.tables.values())
        shapes = captured_shapes(self.settings, tables)
        store = ServingStore(self.settings.serving_dsn.get_secret_value(), tables, Declarations(), shapes=shapes)
        with closing(KafkaPythonReader(self.settings.kafka)) as reader, closing(store):
            Projector(self.settings, store, tables, reader).run(self._stop)


def sql(name: str) -> str:
    """A file of fixtures/rows."""
    return (ROWS / f"{name}.sql").read_text()


def run(connection: psycopg.Connection[Any], statements: Iterable[str]) -> None:
    """Run statement after statement, each a transaction."""
    for statement in statements:
        connection.execute(cast("LiteralString", statement))


def publish(source: psycopg.Connection[Any], name: str) -> None:
    """Make the publication of all tables of zoo and fixtures/rows."""
    whole = [SQL(cast("LiteralString", table)) for table in ("scalars", "arrays", "long", *TABLES) if table != "listed"]
    source.execute(
        SQL("create publication {} for table {}, listed (id, v, d) with (publish_via_partition_root)").format(
            Identifier(name), SQL(", ").join(whole)
        )
    )


def rows_as_text(connection: psycopg.Connection[Any], table: Table, *, source: bool) -> list[list[str | None]]:
    """Every row with its values as text, in the order of its key's text."""
    name = Identifier(table.schema, table.name) if source else Identifier("mirror", table.mirror)
    columns = SQL(", ").join(SQL("{}::text").format(Identifier(column.name)) for column in table.columns)
    key = SQL("row({})::text").format(SQL(", ").join(map(Identifier, table.key)))
    query = SQL('select {} from {} order by {} collate "C"').format(columns, name, key)
    return [list(row) for row in connection.execute(query).fetchall()]


def _recorded(record: Record, prefix: str) -> dict[str, Any]:
    (topic, number), offset, *rest = record
    key, value, headers = rest
    return {
        "topic": topic.replace(prefix, "zoo"),
        "partition": number,
        "offset": offset,
        "key": None if key is None else key.decode(),
        "value": None if value is None else value.decode().replace(prefix, "zoo"),
        "headers": [[name, told.decode()] for name, told in headers],
    }

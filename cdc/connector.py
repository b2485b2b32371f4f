"""The connector's life: registered, started always at the slot, never from a stored offset, and watched.

Debezium loses rows when it resumes from an offset inside a transaction (docs/decisions/0005). So the Connect worker gets
fresh internal topics at each of its starts and knows no connector then; this module creates it: under ``initial`` until
a snapshot lies in Kafka whole, under ``no_data`` afterwards. A failed task is stopped, its offset removed, and resumed.
"""

from __future__ import annotations

import importlib.resources
import logging
import threading
import time
import tomllib
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from cdc.assembler import Partition, packed
from cdc.catalog import Table, read_tables, topic_of, transaction_topic
from cdc.change import PLACEHOLDER
from cdc.connect import Connect
from cdc.control import Snapshot, latest_snapshot, note_snapshot
from cdc.encoding import pattern, snapshot_selects
from cdc.errors import Fatal, SourceChanged, Transient
from cdc.fidelity import require_faithful
from cdc.reader import KafkaPythonReader
from cdc.topics import ensure_topics
from config.settings import Settings

logger = logging.getLogger(__name__)

_STATUS_INTERVAL_S = 1.0


def supervise(settings: Settings, stop: threading.Event) -> None:
    """Keep the connector running and the pulse beating until ``stop`` is set.

    Raises Transient when a component does not answer (call again after a pause), Fatal when going on would lose changes.
    """
    dsn = source_dsn(settings)
    tables = read_tables(dsn, settings.publication, settings.tables)
    require_faithful(tables)
    ensure_topics(settings.kafka, settings.topic_prefix, tables, settings.topic_partitions)
    connect = Connect(settings.connect_url, settings.connector)
    try:
        with psycopg.connect(dsn, autocommit=True, application_name="readside cdc") as source:
            _Supervision(settings, tables, connect, source).run(stop)
    except psycopg.OperationalError as exc:
        raise Transient(f"the source database does not answer: {type(exc).__name__}") from exc
    finally:
        connect.close()


def source_dsn(settings: Settings) -> str:
    """The captured database's DSN. Raises Fatal when it is not set."""
    if settings.source_dsn is None:
        raise Fatal("READSIDE_SOURCE_DSN is not set: name the database to capture, or start the stack: `readside up`")
    return settings.source_dsn.get_secret_value()


class _Supervision:
    def __init__(
        self, settings: Settings, tables: Sequence[Table], connect: Connect, source: psycopg.Connection[Any]
    ) -> None:
        self._settings = settings
        self._tables = tables
        self._connect = connect
        self._source = source
        self._snapshot = latest_snapshot(settings.kafka, settings.topic_prefix)
        self._begin: dict[Partition, int] = {}

    def run(self, stop: threading.Event) -> None:
        checked_at = float("-inf")
        while not stop.is_set():
            if time.monotonic() - checked_at >= (_STATUS_INTERVAL_S if self._snapshot else 0.2):
                self._check()
                checked_at = time.monotonic()
            # A pulse is a transaction that changes nothing: it carries the position through an idle pipeline.
            self._source.execute("select pg_logical_emit_message(true, 'readside.pulse', '')")
            stop.wait(self._settings.pulse_interval_s if self._snapshot else 0.1)

    def _check(self) -> None:
        status = self._connect.status()
        if status is None:
            self._start()
        elif "FAILED" in (status.connector, status.task):
            logger.warning(
                "connector failed, restarting it at its slot",
                extra={"action": "connector_failed"} | {"reason": status.trace},
            )
            self._recover()
        elif self._snapshot is None and status.task == "RUNNING":
            self._note_complete_snapshot()

    def _start(self) -> None:
        if self._snapshot is None:
            self._start_snapshot()
            return
        self._require_slot(self._snapshot)
        self._connect.put(connector_config(self._settings, self._tables, "no_data"))
        logger.info("connector started at its slot", extra={"action": "connector_started"})

    def _start_snapshot(self) -> None:
        # Whatever an unfinished snapshot left in the topics lies before ``begin`` and is never read.
        self._source.execute(
            """
            select pg_drop_replication_slot(slot_name)
              from pg_replication_slots
             where slot_name = %(slot)s and database = current_database()
            """,
            {"slot": self._settings.slot},
        )
        self._begin = self._end_offsets()
        self._connect.put(connector_config(self._settings, self._tables, "initial"))
        logger.info("connector started with the initial snapshot", extra={"action": "snapshot_started"})

    def _recover(self) -> None:
        if self._snapshot is None:
            self._connect.delete()
            return
        self._require_slot(self._snapshot)
        self._connect.restart_at_slot(connector_config(self._settings, self._tables, "no_data"))

    def _note_complete_snapshot(self) -> None:
        if not self._begin:
            # Another supervision began this snapshot; where, is not known.
            self._connect.delete()
            return
        offset = self._connect.offset()
        if offset is None or offset.get("snapshot") or offset.get("snapshot_completed") is False:
            return
        identifier, database = self._identity()
        snapshot = Snapshot(
            system_identifier=identifier,
            database=database,
            slot=self._settings.slot,
            begin=packed(self._begin),
            end=packed(self._end_offsets()),
        )
        note_snapshot(self._settings.kafka, self._settings.topic_prefix, snapshot)
        self._snapshot = snapshot
        logger.info("snapshot complete", extra={"action": "snapshot_complete"})

    def _require_slot(self, snapshot: Snapshot) -> None:
        if self._identity() != (snapshot.system_identifier, snapshot.database):
            raise SourceChanged(
                f"READSIDE_SOURCE_DSN leads to another PostgreSQL cluster or database than the snapshot in Kafka was "
                f"taken from ({snapshot.database}); correct it, or begin with an empty data directory"
            )
        row = self._source.execute(
            "select wal_status from pg_replication_slots where slot_name = %(slot)s and database = current_database()",
            {"slot": self._settings.slot},
        ).fetchone()
        if row is None or row[0] == "lost":
            raise SourceChanged(
                f"replication slot {self._settings.slot} is {'gone' if row is None else 'lost'}: changes since then cannot "
                "be had from it; begin with an empty data directory, or `readside rebuild --from snapshot`"
            )

    def _identity(self) -> tuple[int, str]:
        row = self._source.execute("select system_identifier, current_database() from pg_control_system()").fetchone()
        assert row is not None
        return row[0], row[1]

    def _end_offsets(self) -> dict[Partition, int]:
        reader = KafkaPythonReader(self._settings.kafka)
        try:
            prefix = self._settings.topic_prefix
            topics = [topic_of(prefix, table) for table in self._tables] + [transaction_topic(prefix)]
            return reader.end_offsets(p for topic in topics for p in reader.partitions(topic))
        finally:
            reader.close()


def connector_config(settings: Settings, tables: Sequence[Table], snapshot_mode: str) -> dict[str, str]:
    """connector.toml with the settings filled in."""
    dsn = conninfo_to_dict(source_dsn(settings))
    values = {
        "host": dsn.get("host") or "localhost",
        "port": dsn.get("port") or "5432",
        "user": dsn.get("user") or "",
        "dbname": dsn.get("dbname") or dsn.get("user") or "",
        "sslmode": dsn.get("sslmode") or "prefer",
        "topic_prefix": settings.topic_prefix,
        "slot": settings.slot,
        "publication": settings.publication,
        "tables": ",".join(pattern(table) for table in tables),
        "keys": ";".join(f"{pattern(t)}:{','.join(t.key)}" for t in tables if t.identity == "i"),
        "snapshot_mode": snapshot_mode,
        "placeholder": PLACEHOLDER.encode().hex(),
    }
    template = tomllib.loads((importlib.resources.files("cdc") / "connector.toml").read_text())
    filled = {name: str(value).format(**values) for name, value in template.items()}
    return {name: value for name, value in filled.items() if value} | snapshot_selects(tables)

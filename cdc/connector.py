"""The connector's life: registered, started always at the slot, never from a stored offset, and watched.

Debezium loses rows when it resumes from an offset inside a transaction (docs/decisions/0005). So the Connect worker gets
fresh internal topics at each of its starts and knows no connector then; this module creates it: under ``initial`` while a
snapshot is on its way (cdc/snapshots.py), else under ``no_data``. A failed task is stopped, its offset removed, resumed.
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

from cdc.catalog import Table, read_tables, topics_of
from cdc.change import PLACEHOLDER
from cdc.connect import Connect
from cdc.control import Snapshot
from cdc.encoding import pattern, snapshot_selects
from cdc.errors import SourceChanged, Transient
from cdc.fidelity import require_faithful
from cdc.snapshots import Snapshots, source_dsn
from cdc.topics import ensure_topics
from config.settings import Settings

logger = logging.getLogger(__name__)

_STATUS_INTERVAL_S = 1.0
_CATALOGUE_INTERVAL_S = 5.0
_FAILURES_IN_ONE_PLACE = 5


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
            supervision = _Supervision(settings, tables, connect, source)
            try:
                supervision.run(stop)
            finally:
                supervision.close()
    except psycopg.OperationalError as exc:
        raise Transient(f"the source database does not answer: {type(exc).__name__}") from exc
    finally:
        connect.close()


class _Supervision:
    def __init__(
        self, settings: Settings, tables: Sequence[Table], connect: Connect, source: psycopg.Connection[Any]
    ) -> None:
        self._settings = settings
        self._tables = tables
        self._connect = connect
        self._source = source
        self._snapshots = Snapshots(settings, tables, connect, source)
        self._failure = ("", "")  # what the last one said, and where the slot stood
        self._failed_there = 0  # times in succession

    def close(self) -> None:
        self._snapshots.close()

    def run(self, stop: threading.Event) -> None:
        checked_at = looked_at = time.monotonic()
        self._check()
        while not stop.is_set():
            whole = self._snapshots.current is not None
            if time.monotonic() - checked_at >= (_STATUS_INTERVAL_S if whole else 0.2):
                self._check()
                checked_at = time.monotonic()
            if time.monotonic() - looked_at >= _CATALOGUE_INTERVAL_S:
                self._require_same_tables()
                looked_at = time.monotonic()
            # A pulse is a transaction that changes nothing: it carries the position through an idle pipeline.
            self._source.execute("select pg_logical_emit_message(true, 'readside.pulse', '')")
            stop.wait(self._settings.pulse_interval_s if whole else 0.1)

    def _check(self) -> None:
        if (reason := self._snapshots.wanted()) is not None:
            self._snapshots.begin(reason, self._config("initial"))
            return
        status = self._connect.status()
        if status is None or "FAILED" in (status.connector, status.task):
            if status is not None:
                logger.warning(
                    "connector failed, restarting it",
                    extra={"action": "connector_failed"} | {"reason": status.trace},
                )
                self._count_failure(status.trace)
            self._restart(known=status is not None)
        elif self._snapshots.current is None and status.task == "RUNNING":
            self._snapshots.note_when_whole(self._config("initial"))

    def _restart(self, *, known: bool) -> None:
        snapshot = self._snapshots.current
        if snapshot is None:
            self._snapshots.begin_again(self._config("initial"))
            return
        self._require_source(snapshot)
        try:
            self._require_slot()
            self._require_progress()
        except SourceChanged as exc:
            if self._settings.history_lost != "snapshot":
                raise
            logger.warning(str(exc), extra={"action": "history_lost"})
            self._snapshots.begin(str(exc), self._config("initial"))
            return
        if known:
            self._connect.restart_at_slot(self._config("no_data"))
        else:
            self._connect.put(self._config("no_data"))
        logger.info("connector started at its slot", extra={"action": "connector_started"})

    def _config(self, snapshot_mode: str) -> dict[str, str]:
        return connector_config(self._settings, self._tables, snapshot_mode)

    def _require_source(self, snapshot: Snapshot) -> None:
        if self._snapshots.identity() != (snapshot.system_identifier, snapshot.database):
            raise SourceChanged(
                f"READSIDE_SOURCE_DSN leads to another PostgreSQL cluster or database than the snapshot in Kafka was "
                f"taken from ({snapshot.database}); correct it, or begin with an empty data directory"
            )

    def _require_slot(self) -> None:
        row = self._source.execute(
            "select wal_status from pg_replication_slots where slot_name = %(slot)s and database = current_database()",
            {"slot": self._settings.slot},
        ).fetchone()
        if row is None or row[0] == "lost":
            raise SourceChanged(
                f"replication slot {self._settings.slot} is {'gone' if row is None else 'lost'}: changes since then cannot "
                "be had from it; take a new snapshot: `python -m cdc snapshot`, or READSIDE_HISTORY_LOST=snapshot for always"
            )

    def _count_failure(self, trace: str) -> None:
        row = self._source.execute(
            "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = %(slot)s",
            {"slot": self._settings.slot},
        ).fetchone()
        failure = (trace, row[0] if row else "")
        self._failed_there = self._failed_there + 1 if failure == self._failure else 1
        self._failure = failure

    def _require_progress(self) -> None:
        # Debezium decodes what was written under a column's former type by the present one, and fails at it for ever.
        if self._failed_there >= _FAILURES_IN_ONE_PLACE:
            raise SourceChanged(
                f"the connector failed {self._failed_there} times at {self._failure[1]}: {self._failure[0]}; if a column's "
                "type was changed before its rows were read, only a new snapshot leads past them: "
                "`python -m cdc snapshot`, or READSIDE_HISTORY_LOST=snapshot for always"
            )

    def _require_same_tables(self) -> None:
        tables = read_tables(source_dsn(self._settings), self._settings.publication, self._settings.tables)
        if (
            topics_of(self._settings.topic_prefix, tables).keys()
            != topics_of(self._settings.topic_prefix, self._tables).keys()
        ):
            raise Transient("the source publishes other tables than before; the connector is supervised anew with them")


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

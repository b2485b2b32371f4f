"""The connector's life: registered, started always at the slot, never from a stored offset, and watched.

Debezium loses rows when it resumes from an offset inside a transaction (docs/decisions/0005). So the Connect worker gets
fresh internal topics at each of its starts and knows no connector then; this module creates it: under ``initial`` while a
snapshot is on its way (cdc/snapshots.py), else under ``no_data``. A failed task is stopped, its offset removed, resumed;
so is a connector that was left stopped, as whoever resumes it by hand does so from its stored offset.
"""

from __future__ import annotations

import importlib.resources
import logging
import threading
import time
import tomllib
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from cdc import canary, continuity
from cdc.catalog import Table, read_tables, topics_of
from cdc.connect import Connect
from cdc.control import Snapshot, read_control
from cdc.encoding import pattern, snapshot_selects
from cdc.errors import BEGIN_ANEW, Fatal, HistoryLost, Transient
from cdc.fidelity import require_faithful
from cdc.reader import KafkaPythonReader
from cdc.snapshots import Snapshots, source_dsn
from cdc.topics import ensure_topics
from cdc.unavailable import PLACEHOLDER
from config.settings import Settings

logger = logging.getLogger(__name__)

_STATUS_INTERVAL_S = 1.0
_CATALOGUE_INTERVAL_S = 5.0
_FAILURES_IN_ONE_PLACE = 5
_CANARY_INTERVAL_S = 10.0


def supervise(settings: Settings, stop: threading.Event, tell_running: Callable[[], None] = lambda: None) -> None:
    """Keep the connector running and the pulse beating until ``stop`` is set; ``tell_running`` is called when it runs.

    Raises Transient when a component does not answer (call again after a pause), Fatal when going on would lose changes.
    """
    dsn = source_dsn(settings)
    tables = read_tables(dsn, settings.publication, settings.tables)
    require_faithful(tables)
    ensure_topics(settings.kafka, settings.topic_prefix, tables, settings.topic_partitions)
    connect = Connect(settings.connect_url, settings.connector)
    try:
        with psycopg.connect(dsn, autocommit=True, application_name="readside cdc") as source:
            _require_decoding(source)
            supervision = _Supervision(settings, tables, connect, source, tell_running)
            try:
                supervision.run(stop)
            finally:
                supervision.close()
    except psycopg.OperationalError as exc:
        raise Transient(f"the source database does not answer: {type(exc).__name__}") from exc
    finally:
        connect.close()


def _require_decoding(source: psycopg.Connection[Any]) -> None:
    """Raises Fatal for a server of which Debezium could make no slot. PostgreSQL's manual, section 47.2.2."""
    (level,) = source.execute("show wal_level").fetchone() or ("",)
    if level != "logical":
        raise Fatal(
            f"the source's wal_level is {level}, so no change can be decoded; run alter system set wal_level = 'logical' "
            "there as a superuser, restart PostgreSQL, then look again: `readside doctor`"
        )


class _Supervision:
    def __init__(
        self,
        settings: Settings,
        tables: Sequence[Table],
        connect: Connect,
        source: psycopg.Connection[Any],
        tell_running: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._tables = tables
        self._connect = connect
        self._source = source
        self._snapshots = Snapshots(settings, tables, connect, source)
        self._failure = ("", "")  # what the last one said, and where the slot stood
        self._failed_there = 0  # times in succession
        self._tell_running = tell_running
        self._running = False
        self._canaries = canary.Sender(source)
        self._canary_at = float("-inf")

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
                self._same_tables()
                looked_at = time.monotonic()
            if time.monotonic() - self._canary_at >= _CANARY_INTERVAL_S:
                self._send_canary()
            # A pulse is a transaction that changes nothing: it carries the position through an idle pipeline.
            self._source.execute("select pg_logical_emit_message(true, 'readside.pulse', '')")
            stop.wait(self._settings.pulse_interval_s if whole else 0.1)

    def _check(self) -> None:
        if (reason := self._snapshots.wanted()) is not None:
            self._snapshots.begin(reason, self._config("initial"))
            return
        status = self._connect.status()
        if status is None or status.failed or status.stopped:
            if status is not None and status.stopped:
                logger.warning("connector stopped, starting it again", extra={"action": "connector_stopped"})
            elif status is not None:
                logger.warning(
                    "connector failed, restarting it",
                    extra={"action": "connector_failed"} | {"reason": status.cause},
                )
                self._count_failure(status.cause)
            self._restart(known=status is not None)
        elif status.task == "RUNNING":
            if not self._running:
                self._running = True
                self._send_canary()
                self._tell_running()
            if self._snapshots.current is None:
                self._snapshots.note_when_whole(lambda: self._config("initial"))

    def _send_canary(self) -> None:
        self._snapshots.note_supervision(self._canaries.supervision)
        self._canaries.send()
        self._canary_at = time.monotonic()

    def _restart(self, *, known: bool) -> None:
        self._running = False
        snapshot = self._snapshots.current
        if snapshot is None:
            self._snapshots.begin_again(self._config("initial"))
            return
        try:
            self._require_unbroken(snapshot)
            self._require_progress()
        except HistoryLost as exc:
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
        # Columns come and go, and some tables' snapshot names them: an older catalogue would have it fail for ever.
        tables = self._same_tables()
        require_faithful(tables)
        self._tables = tables
        return connector_config(self._settings, tables, snapshot_mode)

    def _require_unbroken(self, snapshot: Snapshot) -> None:
        # Sent before the slot is looked at: whoever moves it between this look and the connector's start loses us this
        # canary, and the stores will miss it.
        self._send_canary()
        timeline = _look_at(self._settings, self._tables, self._source, snapshot)
        if timeline != snapshot.timeline:
            self._snapshots.went_over_to(timeline)

    def _count_failure(self, cause: str) -> None:
        row = self._source.execute(
            "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = %(slot)s",
            {"slot": self._settings.slot},
        ).fetchone()
        failure = (cause, row[0] if row else "")
        self._failed_there = self._failed_there + 1 if failure == self._failure else 1
        self._failure = failure

    def _require_progress(self) -> None:
        # Debezium decodes what was written under a column's former type by the present one, and fails at it for ever.
        if self._failed_there >= _FAILURES_IN_ONE_PLACE:
            raise HistoryLost(
                f"the connector failed {self._failed_there} times at {self._failure[1]}: {self._failure[0]}; if a column's "
                f"type was changed before its rows were read, only a new snapshot leads past them; {BEGIN_ANEW}"
            )

    def _same_tables(self) -> tuple[Table, ...]:
        """The tables as the catalogue describes them now. Raises Transient when they are others than before."""
        tables = read_tables(source_dsn(self._settings), self._settings.publication, self._settings.tables)
        if (
            topics_of(self._settings.topic_prefix, tables).keys()
            != topics_of(self._settings.topic_prefix, self._tables).keys()
        ):
            raise Transient("the source publishes other tables than before; the connector is supervised anew with them")
        return tables


def require_unbroken(settings: Settings) -> None:
    """Look, and change nothing: raises HistoryLost or SourceChanged when the slot does not go on where Kafka's records end.

    Nothing is wrong while no snapshot is whole, or another one is on its way. Raises Transient as well.
    """
    control = read_control(settings.kafka, settings.topic_prefix)
    if control.latest is None or control.begun is not None:
        return
    dsn = source_dsn(settings)
    tables = read_tables(dsn, settings.publication, settings.tables)
    with psycopg.connect(dsn, autocommit=True, connect_timeout=3) as source:
        _look_at(settings, tables, source, control.latest)


def _look_at(settings: Settings, tables: Sequence[Table], source: psycopg.Connection[Any], snapshot: Snapshot) -> int:
    """The source's timeline, if the slot goes on where Kafka's records end; raises otherwise."""
    reader = KafkaPythonReader(settings.kafka)
    try:
        held = continuity.Held(reader, settings.topic_prefix, topics_of(settings.topic_prefix, tables), snapshot)
        before = held.last_end()
        found = continuity.read_source(source, snapshot.slot)
        continuity.require_unbroken(
            found,
            snapshot,
            before=before,
            ended=held.last_end(),
            sent=held.last_sent,
            history=lambda: continuity.timeline_history(source_dsn(settings), found.timeline),
        )
    finally:
        reader.close()
    return found.timeline


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
        "batch": str(settings.connector_batch),
        "placeholder": PLACEHOLDER.encode().hex(),
    }
    template = tomllib.loads((importlib.resources.files("cdc") / "connector.toml").read_text())
    filled = {name: str(value).format(**values) for name, value in template.items()}
    return {name: value for name, value in filled.items() if value} | snapshot_selects(tables)

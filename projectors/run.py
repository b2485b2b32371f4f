"""Wires a projector: settings → catalogue, declarations, store and reader; one run until stopped or broken."""

from __future__ import annotations

import threading

import psycopg
from pydantic import SecretStr

from cdc.catalog import Table, read_tables
from cdc.errors import Fatal, Transient
from cdc.fidelity import require_faithful
from cdc.reader import KafkaPythonReader, LogReader
from config.settings import Settings
from projectors import registry
from projectors.analytics import server
from projectors.analytics.store import AnalyticsStore
from projectors.checkpoint import Store
from projectors.loop import Projector
from projectors.read_model import Declarations
from projectors.serving.store import ServingStore


def serving(settings: Settings, stop: threading.Event) -> None:
    """Run the serving store's projector. Raises Transient and Fatal."""
    dsn = _required(settings.serving_dsn, "READSIDE_SERVING_DSN")
    tables = captured_tables(settings)
    declarations = registry.load(settings.models).of_store("serving")
    _require_tables(declarations, tables)
    _project(settings, ServingStore(dsn, tables, declarations), tables, stop)


def analytics(settings: Settings, stop: threading.Event) -> None:
    """Run the analytics store's projector and its SQL endpoint. Raises Transient and Fatal."""
    tables = captured_tables(settings)
    declarations = registry.load(settings.models).of_store("analytics")
    _require_tables(declarations, tables)
    # Named so that nobody opens it by mistake: while it is open here, no other process can.
    path = settings.data_dir / "analytics" / "live.duckdb"
    store = AnalyticsStore(path, tables, declarations, memory_limit=settings.sql_memory)
    with server.serving(settings, store):
        _project(settings, store, tables, stop, interval_s=settings.analytics_interval_s)


def captured_tables(settings: Settings) -> tuple[Table, ...]:
    """The captured tables from the source's catalogue. Raises Transient; Fatal for one that cannot be mirrored exactly."""
    dsn = _required(settings.source_dsn, "READSIDE_SOURCE_DSN")
    try:
        tables = read_tables(dsn, settings.publication, settings.tables)
    except psycopg.OperationalError as exc:
        raise Transient(f"the source database does not answer: {type(exc).__name__}") from exc
    require_faithful(tables)
    return tables


def open_reader(settings: Settings) -> LogReader:
    """A reader of Kafka, as the settings choose it. Raises Transient when no broker answers."""
    return KafkaPythonReader(settings.kafka)


def _project(
    settings: Settings, store: Store, tables: tuple[Table, ...], stop: threading.Event, *, interval_s: float = 0.0
) -> None:
    reader = open_reader(settings)
    try:
        Projector(settings, store, tables, reader, interval_s=interval_s).run(stop)
    finally:
        store.close()
        reader.close()


def _require_tables(declarations: Declarations, tables: tuple[Table, ...]) -> None:
    if missing := declarations.tables - {table.mirror for table in tables}:
        raise Fatal(
            f"the read models of READSIDE_MODELS read {', '.join(sorted(missing))}, which the source does not publish; "
            "add them to the publication, or name other models"
        )


def _required(dsn: SecretStr | None, variable: str) -> str:
    if dsn is None:
        raise Fatal(f"{variable} is not set; start the stack with `readside up`, or name the database")
    return dsn.get_secret_value()

"""Wires a projector: settings → catalogue, declarations, store and reader; one run until stopped or broken."""

from __future__ import annotations

import atexit
import gc
import sys
import threading
from contextlib import closing

import psycopg
from pydantic import SecretStr

from cdc.backlog import BacklogReader
from cdc.catalog import Table, read_tables
from cdc.control import ControlTopic
from cdc.errors import Fatal, Transient
from cdc.fidelity import require_faithful
from cdc.reader import KafkaPythonReader, LogReader
from cdc.reading import ReadingProcess
from cdc.shapes import Shapes, read_shapes
from config.settings import Settings
from projectors import registry
from projectors.checkpoint import Store
from projectors.loop import Projector
from projectors.metrics import Metrics
from projectors.pace import AT_ONCE, Rhythm
from projectors.serving.rebuilds import Policy
from projectors.serving.store import ServingStore
from projectors.watch import watching


def serving(settings: Settings, stop: threading.Event, metrics: Metrics) -> None:
    """Run the serving store's projector. Raises Transient and Fatal."""
    dsn = _required(settings.serving_dsn, "READSIDE_SERVING_DSN")
    tables = captured_tables(settings)
    declarations = registry.load(settings.models).of_store("serving")
    shapes = captured_shapes(settings, tables)
    policy = Policy(swaps=settings.rebuild_swaps, former_s=settings.rebuild_former_s)
    store = ServingStore(
        dsn, tables, declarations, shapes=shapes, parks=lambda table: parks(settings, table), policy=policy
    )
    _project(settings, store, tables, shapes, stop, metrics)


def analytics(settings: Settings, stop: threading.Event, metrics: Metrics) -> None:
    """Run the analytics store's projector and its SQL endpoint. Raises Transient and Fatal."""
    # What this store needs takes as long to import as the rest: the other store's projector starts without it.
    from projectors.analytics import server
    from projectors.analytics.confined import Limits
    from projectors.analytics.publishing import Publisher
    from projectors.analytics.store import AnalyticsStore

    tables = captured_tables(settings)
    declarations = registry.load(settings.models).of_store("analytics")
    shapes = captured_shapes(settings, tables)
    # Named so that nobody opens it by mistake: while it is open here, no other process can.
    path = settings.data_dir / "analytics" / "live.duckdb"
    publisher = Publisher(path, settings.analytics_copy, settings.analytics_copy_interval_s)
    store = AnalyticsStore(
        path,
        tables,
        declarations,
        memory_limit=f"{settings.analytics_memory // 1_000}KB",
        limits=Limits.of(settings),
        shapes=shapes,
        parks=lambda table: parks(settings, table),
        committed=publisher.committed,
        unpublished=publisher.unpublished,
    )
    # A statement of DuckDB costs nearly the same for few rows and for many: what has piled up is taken in larger batches.
    larger = settings.model_copy(update={"batch_changes": settings.analytics_batch_changes})
    with closing(publisher), server.serving(settings, store, metrics):
        _project(larger, store, tables, shapes, stop, metrics, rhythm=Rhythm(commits_s=settings.analytics_interval_s))


def captured_tables(settings: Settings) -> tuple[Table, ...]:
    """The captured tables from the source's catalogue. Raises Transient; Fatal for one that cannot be mirrored exactly."""
    dsn = _required(settings.source_dsn, "READSIDE_SOURCE_DSN")
    try:
        tables = read_tables(dsn, settings.publication, settings.tables)
    except psycopg.OperationalError as exc:
        raise Transient(f"the source database does not answer: {type(exc).__name__}") from exc
    require_faithful(tables)
    return tables


def settle() -> None:
    """Make the interpreter fit for projecting; called once, when the process begins to.

    A projector makes many objects and hardly any circles of them: by default a quarter of its time goes into looking for
    those. And two threads work in it: the one that applies comes back from the database many times in a batch, and would
    each time wait for as long as the one that reads may run.
    """
    gc.set_threshold(100_000, 50, 100)
    gc.freeze()  # what was imported is not looked through each time
    atexit.register(gc.unfreeze)  # at the end it is, or DuckDB's library complains of what was left
    sys.setswitchinterval(0.0005)


def open_reader(settings: Settings) -> LogReader:
    """A reader of Kafka, as the settings choose it. Raises Transient when no broker answers, Fatal when it is missing."""
    if settings.reader == "kafka-python":
        near = KafkaPythonReader(settings.kafka)
        return BacklogReader(near, lambda: ReadingProcess(settings.kafka, settings.topic_prefix))
    try:
        from cdc.confluent_reader import ConfluentReader
    except ImportError as exc:
        raise Fatal(
            "READSIDE_READER=confluent-kafka needs an optional extra that is not installed: `uv sync --extra confluent`, "
            "or leave the setting out"
        ) from exc
    return ConfluentReader(settings.kafka)  # which fetches beside Python as it is


def _project(
    settings: Settings,
    store: Store,
    tables: tuple[Table, ...],
    shapes: Shapes,
    stop: threading.Event,
    metrics: Metrics,
    *,
    rhythm: Rhythm = AT_ONCE,
) -> None:
    # The control topic's is one for the whole run: who waits for a snapshot looks five times a second, and a new connection
    # costs 30 ms each time, which the waiting takes from the very work that it waits for.
    with (
        closing(open_reader(settings)) as reader,
        closing(ControlTopic(settings.kafka, settings.topic_prefix)) as control,
        closing(store),
        watching(lambda: _shapes(settings), shapes) as watch,
    ):
        control.connect()  # while the store opens, what it would have to wait for passes
        Projector(
            settings,
            store,
            tables,
            reader,
            rhythm=rhythm,
            watch=watch,
            control=control.refresh,
            parks=lambda table: parks_poison(settings, table),
            metrics=metrics,
        ).run(stop)


def captured_shapes(settings: Settings, tables: tuple[Table, ...]) -> Shapes:
    """The shapes of ``tables``. Raises Transient, also when they changed since ``tables`` were read."""
    shapes = _shapes(settings)
    for table in tables:
        shape = shapes.get(table.qualified)
        if shape is None or [c.name for c in shape.columns if c.name in {d.name for d in table.columns}] != [
            c.name for c in table.columns
        ]:
            raise Transient(f"{table.qualified} is changing at the source; its columns are read again")
    return {table.qualified: shapes[table.qualified] for table in tables}


def parks(settings: Settings, table: str) -> bool:
    """Whether a table that changed at the source is left as it stands."""
    return settings.schema_changes == "park" or table in settings.parked_on_change


def parks_poison(settings: Settings, table: str) -> bool:
    """Whether a table's changes that cannot be applied are parked."""
    return settings.poison == "park" or table in settings.parked_on_poison


def _shapes(settings: Settings) -> Shapes:
    try:
        return read_shapes(_required(settings.source_dsn, "READSIDE_SOURCE_DSN"), settings.publication, settings.tables)
    except psycopg.OperationalError as exc:
        raise Transient(f"the source database does not answer: {type(exc).__name__}") from exc


def _required(dsn: SecretStr | None, variable: str) -> str:
    if dsn is None:
        raise Fatal(f"{variable} is not set; start the stack with `readside up`, or name the database")
    return dsn.get_secret_value()

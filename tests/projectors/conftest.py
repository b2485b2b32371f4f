"""A scripted pipeline: a real write database, a scripted log of its changes, real stores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc.catalog import read_tables
from cdc.control import Snapshot
from config.settings import Settings
from projectors import registry
from projectors.analytics.store import AnalyticsStore
from projectors.checkpoint import Store
from projectors.loop import Projector
from projectors.read_model import Declarations
from projectors.serving.store import ServingStore
from tests.projectors import ratings
from tests.scripted import PREFIX, ScriptedLog, ScriptedReader, ScriptedSource


class Pipeline:
    """The write database's changes on their way into one store; ``project`` runs a fresh projector until all is read."""

    def __init__(
        self,
        shop_dsn: str,
        directory: Path,
        make_store: Callable[[tuple[Any, ...], Declarations], Store],
        models: str = "projectors.read_models",
    ) -> None:
        self._directory = directory
        self.models = models
        self.tables = read_tables(shop_dsn, "readside")
        self.log = ScriptedLog(self.tables)
        self.source = ScriptedSource(shop_dsn, self.log)
        self.sql = self.source.connection.execute
        self._make_store = lambda: make_store(self.tables, registry.load(models))

    def commit(self, *statements: str) -> None:
        """One source transaction; its records are sent to the log."""
        with self.source.connection.transaction():
            for statement in statements:
                self.sql(statement)  # pyright: ignore[reportArgumentType]
        self.send()

    def send(self) -> None:
        for transaction in self.source.flush():
            self.log.send(transaction)

    def project(self, choose: Callable[[list[Any]], tuple[Any, int]] | None = None) -> Store:
        """Read all there is in the log into the store, with a new projector; the store is left open."""
        stop = threading.Event()
        reader = ScriptedReader(self.log, choose or (lambda unread: (unread[0], 1000)))
        poll = reader.poll

        def poll_until_drained(timeout_s: float, most_records: int) -> Any:
            records = poll(timeout_s, most_records)
            if reader.drained():
                stop.set()
            return records

        reader.poll = poll_until_drained
        store = self._make_store()
        nothing = {topic: {str(n): 0 for t, n in self.log.partitions if t == topic} for topic, _ in self.log.partitions}
        snapshot = Snapshot(system_identifier=1, database="shop", slot="readside", begin=nothing, end=nothing)
        # So few that transactions go through the spool, and partitions are made to wait for each other.
        settings = Settings(topic_prefix=PREFIX, data_dir=self._directory, buffered_changes=5)
        try:
            Projector(settings, store, self.tables, reader, snapshot=lambda: snapshot).run(stop)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        self.source.close()


@pytest.fixture
def serving(shop_database: str, store_database: str, tmp_path: Path) -> Iterator[Pipeline]:
    """The reference application's tables into the serving store."""
    pipeline = Pipeline(
        shop_database,
        tmp_path,
        lambda tables, models: ServingStore(store_database, tables, models.of_store("serving")),
    )
    yield pipeline
    pipeline.close()


@pytest.fixture
def rating_pipeline(shop_database: str, store_database: str, tmp_path: Path) -> Iterator[Pipeline]:
    """The tests' own tables into the serving store."""
    with psycopg.connect(shop_database, autocommit=True) as source:
        source.execute(ratings.TABLES)
    made = Pipeline(
        shop_database,
        tmp_path,
        lambda tables, models: ServingStore(store_database, tables, models.of_store("serving")),
        models="tests.projectors.ratings",
    )
    made.commit("insert into shops values (1, 'north'), (2, 'south')")
    made.commit("insert into items values (1, 1, 'saw'), (2, 1, 'axe'), (3, 2, 'awl')")
    yield made
    made.close()


@pytest.fixture
def analytics(shop_database: str, tmp_path: Path) -> Iterator[Pipeline]:
    """The reference application's tables into the analytics store."""
    pipeline = Pipeline(
        shop_database,
        tmp_path,
        lambda tables, models: AnalyticsStore(
            tmp_path / "live.duckdb", tables, models.of_store("analytics"), memory_limit="1GB"
        ),
    )
    yield pipeline
    pipeline.close()


@pytest.fixture
def store_rows(store_database: str) -> Iterator[Callable[[str], list[Any]]]:
    """Runs a statement on the serving store and gives its rows."""
    with psycopg.connect(store_database, autocommit=True) as connection:
        yield lambda statement: connection.execute(statement).fetchall()  # pyright: ignore[reportArgumentType]


@pytest.fixture
def rows(store_rows: Callable[[str], list[Any]]) -> Callable[..., list[Any]]:
    """The rows of a table of the serving store, or some columns of them, in order."""
    return lambda table, columns="*": store_rows(f"select {columns} from {table} order by 1")

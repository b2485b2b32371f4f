"""A scripted pipeline: a real write database, a scripted log of its changes, real stores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from cdc.catalog import Table, read_tables
from cdc.control import Control
from cdc.errors import Transient
from cdc.shapes import Shapes, read_shapes
from config.settings import Settings
from projectors import registry
from projectors.analytics.store import AnalyticsStore
from projectors.checkpoint import Store
from projectors.loop import Projector
from projectors.read_model import Declarations
from projectors.serving import pushes, rebuilding
from projectors.serving.store import ServingStore
from projectors.verification.oracles import SESSION
from projectors.verification.sides import Serving, Sides, Source
from projectors.watch import Watch
from tests.operations import SEED
from tests.projectors import ratings
from tests.projectors.listening import Listener
from tests.projectors.renewed import Shop
from tests.scripted import PREFIX, ScriptedLog, ScriptedReader, ScriptedSource
from tests.snapshots import ScriptedSnapshots

MODELS = registry.load("projectors.read_models")


class Pipeline:
    """The write database's changes on their way into one store; ``project`` runs a fresh projector until all is read."""

    def __init__(
        self,
        shop_dsn: str,
        directory: Path,
        make_store: Callable[[tuple[Any, ...], Shapes], Store],
        models: str = "projectors.read_models",
    ) -> None:
        self._dsn = shop_dsn
        self._directory = directory
        self.models = models
        self.tables = read_tables(shop_dsn, "readside")
        self.log = ScriptedLog(self.tables)
        self.source = ScriptedSource(shop_dsn, self.log)
        self.sql = self.source.connection.execute
        self.snapshots = ScriptedSnapshots(self.source)
        self._make_store = make_store
        self.parked_on_change: tuple[str, ...] = ()
        self.parked_on_poison: tuple[str, ...] = ()
        self.most_dead_letters = 100
        self.requests: list[str] = []  # for snapshots, by the projectors

    def commit(self, *statements: str) -> None:
        """One source transaction; its records are sent to the log."""
        with self.source.connection.transaction():
            for statement in statements:
                self.sql(statement)  # pyright: ignore[reportArgumentType]
        self.send()

    def waits_for(self, store: Store) -> bool:
        """Whether the store itself has something under way that a projection is to see the end of."""
        return isinstance(store, ServingStore) and store.rebuilding.goes_on

    def send(self) -> None:
        for transaction in self.source.flush():
            self.log.send(transaction)

    def miss(self, *statements: str) -> None:
        """Source transactions that nobody captures."""
        for statement in statements:
            self.sql(statement)  # pyright: ignore[reportArgumentType]
        self.source.flush()

    def alter(self, *statements: str) -> None:
        """Change tables; what was committed before has been sent by now."""
        for statement in statements:
            self.sql(statement)  # pyright: ignore[reportArgumentType]
        self.tables = read_tables(self._dsn, "readside")
        self.source.learn(self.tables)

    def project_until_done(self) -> None:
        """As a projector's process does: begin anew whenever that is asked for. Snapshots are taken as they are wanted."""
        for _ in range(5):
            try:
                self.project().close()
            except Transient:
                continue
            return
        raise AssertionError("it begins anew for ever")

    def project(
        self,
        choose: Callable[[list[Any]], tuple[Any, int]] | None = None,
        *,
        control: Callable[[], Control] | None = None,
        known: tuple[tuple[Table, ...], Shapes] | None = None,
    ) -> Store:
        """Read all there is in the log into the store, with a new projector; the store is left open.

        ``known``: the catalogue as the projector believes it to be; by default as it is.
        """
        control = control or (lambda: self.snapshots.control)
        stop = threading.Event()
        reader = ScriptedReader(self.log, choose or (lambda unread: (unread[0], 1000)))
        poll = reader.poll

        def poll_until_drained(timeout_s: float, most_records: int) -> Any:
            records = poll(timeout_s, most_records)
            # Nothing more, what was read is applied, and what is built anew has taken its place.
            if not records and reader.drained() and not self.waits_for(store):
                stop.set()
            return records

        reader.poll = poll_until_drained
        tables, shapes = known or self.catalogue()
        store = self._make_store(tables, shapes)
        # So few that transactions go through the spool, and partitions are made to wait for each other.
        settings = Settings(
            topic_prefix=PREFIX, data_dir=self._directory, buffered_changes=5, dead_letters=self.most_dead_letters
        )
        try:
            Projector(
                settings,
                store,
                tables,
                reader,
                watch=Watch(lambda: read_shapes(self._dsn, "readside"), shapes),
                control=control,
                request=self._request,
                parks=lambda table: table in self.parked_on_poison,
            ).run(stop)
        except BaseException:
            store.close()
            raise
        return store

    def catalogue(self) -> tuple[tuple[Table, ...], Shapes]:
        return read_tables(self._dsn, "readside"), read_shapes(self._dsn, "readside")

    def _request(self, reason: str) -> None:
        self.requests.append(reason)
        self.snapshots.take()

    def close(self) -> None:
        self.source.close()


@pytest.fixture
def serving(shop_database: str, store_database: str, tmp_path: Path) -> Iterator[Pipeline]:
    """The reference application's tables into the serving store."""

    def make(tables: tuple[Table, ...], shapes: Shapes) -> Store:
        models = MODELS.of_store("serving")
        parks = lambda table: table in pipeline.parked_on_change  # noqa: E731
        return ServingStore(store_database, tables, models, shapes=shapes, parks=parks)

    pipeline = Pipeline(shop_database, tmp_path, make)
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
        lambda tables, shapes: ServingStore(store_database, tables, ratings.DECLARATIONS, shapes=shapes),
        models="tests.projectors.ratings",
    )
    made.commit("insert into shops values (1, 'north'), (2, 'south')")
    made.commit("insert into items values (1, 1, 'saw'), (2, 1, 'axe'), (3, 2, 'awl')")
    yield made
    made.close()


@pytest.fixture
def shop(rating_pipeline: Pipeline, store_database: str, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The tests' own tables and a store whose next versions are built a row or two at a time."""
    monkeypatch.setattr(rebuilding, "LOOK_S", 0.0)
    monkeypatch.setattr(rebuilding, "_FEWEST", 1)
    monkeypatch.setattr(rebuilding, "_MOST", 2)
    return Shop(rating_pipeline, store_database)


@pytest.fixture
def listener(rating_pipeline: Pipeline, store_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """Somebody who watches read models of the tests' own tables."""
    monkeypatch.setattr(pushes, "LOOK_S", 0.0)
    rating_pipeline.project().close()
    made = Listener(store_database)
    yield made
    made.connection.close()


@pytest.fixture
def followed(serving: Pipeline, store_database: str) -> Pipeline:
    """A source and the serving store that holds all of it, and says that it stands past whatever the source will say."""
    serving.commit(SEED)
    serving.commit("""
        insert into users (id, email, first_name, last_name, display_name)
        select n, n || '@e.com', 'A', case when n % 7 = 0 then 'B''%s\x1f' else 'B' end, 'c'
          from generate_series(1001, 1500) n
    """)
    serving.project_until_done()
    with psycopg.connect(store_database, autocommit=True) as connection:
        connection.execute("update readside.checkpoint set end_lsn = 'FFFFFFFF/0'")
    return serving


@pytest.fixture
def verifier(store_database: str) -> Iterator[psycopg.Connection[Any]]:
    """The serving store, in a session as verification has it."""
    with psycopg.connect(store_database, autocommit=True, options=SESSION) as connection:
        yield connection


@pytest.fixture
def sides(followed: Pipeline, shop_database: str, verifier: psycopg.Connection[Any]) -> Iterator[Sides]:
    """Both sides of a comparison."""
    with psycopg.connect(shop_database, options=SESSION) as source:
        yield Sides(Source(source), {"serving": Serving(verifier)})


@pytest.fixture
def analytics(shop_database: str, tmp_path: Path) -> Iterator[Pipeline]:
    """The reference application's tables into the analytics store."""

    def make(tables: tuple[Table, ...], shapes: Shapes) -> Store:
        models = MODELS.of_store("analytics")
        parks = lambda table: table in pipeline.parked_on_change  # noqa: E731
        path = tmp_path / "live.duckdb"
        return AnalyticsStore(path, tables, models, memory_limit="1GB", shapes=shapes, parks=parks)

    pipeline = Pipeline(shop_database, tmp_path, make)
    yield pipeline
    pipeline.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnalyticsStore]:
    """An analytics store of no table, open."""
    store = AnalyticsStore(tmp_path / "live.duckdb", (), Declarations(), memory_limit="100MB", shapes={})
    store.open()
    yield store
    store.close()


@pytest.fixture
def store_rows(store_database: str) -> Iterator[Callable[[str], list[Any]]]:
    """Runs a statement on the serving store and gives its rows."""
    with psycopg.connect(store_database, autocommit=True) as connection:
        yield lambda statement: connection.execute(statement).fetchall()  # pyright: ignore[reportArgumentType]


@pytest.fixture
def run(store_database: str, tmp_path: Path) -> Callable[[str], list[Any]]:
    """Runs a statement on whichever store there is, between two projectors."""

    def run(statement: str) -> list[Any]:
        if (tmp_path / "live.duckdb").exists():
            with duckdb.connect(str(tmp_path / "live.duckdb")) as store:
                return store.execute(statement).fetchall()
        with psycopg.connect(store_database, autocommit=True) as store:
            cursor = store.execute(statement)  # pyright: ignore[reportCallIssue, reportArgumentType]
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def rows(store_rows: Callable[[str], list[Any]]) -> Callable[..., list[Any]]:
    """The rows of a table of the serving store, or some columns of them, in order."""
    return lambda table, columns="*": store_rows(f"select {columns} from {table} order by 1")


@pytest.fixture(params=["serving", "analytics"])
def pipeline(request: pytest.FixtureRequest) -> Pipeline:
    """Into either store, which parks what it cannot apply to users and orders."""
    pipeline = request.getfixturevalue(request.param)
    pipeline.parked_on_poison = ("public.users", "public.orders")
    return pipeline

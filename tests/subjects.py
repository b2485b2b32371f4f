"""The stores that laws are checked on: how each is made, emptied, read, and told to fail in the middle of a batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

from cdc.catalog import Table
from cdc.partitions import Partition
from cdc.shapes import Shapes
from projectors import registry
from projectors.analytics.store import AnalyticsStore
from projectors.checkpoint import Checkpoint, Store, lsn_value
from projectors.read_model import Declarations
from projectors.serving.letters import stored_counts
from projectors.serving.store import ServingStore
from projectors.tally import Counts
from projectors.verification.oracles import oracle_of
from tests.copies import Copies
from tests.laws import assert_built

PACKAGE = "projectors.read_models"
_COMMITS_PER_COPY = 2
Rows = list[tuple[str, str]]  # (of what, the row as text), sorted


class Crash(BaseException):
    """The process dies here."""


class Subject(Protocol):
    """A kind of store under test. It has no projector while it is wiped."""

    def make(self, tables: Sequence[Table], shapes: Shapes) -> Store: ...

    def wipe(self) -> None:
        """Nothing in it, as before the first snapshot."""
        ...

    def expected(self, source: psycopg.Connection[Any], tables: Sequence[Table]) -> Rows:
        """What it must hold if it stands exactly where the source is now."""
        ...

    def stored(self, store: Store) -> tuple[int, Rows]:
        """Its position (0: nothing loaded) and what it holds, comparable with ``expected``."""
        ...

    def counts(self, store: Store) -> Mapping[Partition, Counts]:
        """What became of the records read, as the store has it."""
        ...

    def check_models(self, source: psycopg.Connection[Any], store: Store) -> None:
        """Every read model, against everything that can say what it must be; the store stands where the source is now."""
        ...

    def crash_after(self, store: Store, statements: int) -> Callable[[], None]:
        """Let the store's process die before its n-th next statement; call what is returned to let it live on."""
        ...


class ServingSubject:
    """The serving store."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._tables: Sequence[Table] = ()
        self._declarations = registry.load(PACKAGE).of_store("serving")

    def close(self) -> None:
        self._connection.close()

    def make(self, tables: Sequence[Table], shapes: Shapes) -> Store:
        self._tables = tables
        return ServingStore(self._dsn, tables, self._declarations, shapes=shapes)

    def wipe(self) -> None:
        # Deleted, not truncated: a truncate makes new files for each table and its indexes.
        names = self._connection.execute(
            """
            select schemaname, tablename from pg_tables
             where schemaname !~ '^pg_|^information_schema' and tablename <> 'declared'
            """
        ).fetchall()
        if names:
            self._connection.execute(SQL("; ").join(SQL("delete from {}").format(Identifier(*name)) for name in names))

    def expected(self, source: psycopg.Connection[Any], tables: Sequence[Table]) -> Rows:
        return sorted(source.execute(_everything([(t.name, Identifier(t.schema, t.name)) for t in tables])).fetchall())

    def stored(self, store: Store) -> tuple[int, Rows]:
        row = self._connection.execute(
            "select end_lsn::text from readside.checkpoint where phase <> 'snapshot'"
        ).fetchone()
        if row is None:
            return 0, []  # and what a load under way has locked is not waited for
        query = _everything([(t.name, Identifier("mirror", t.mirror)) for t in self._tables])
        return lsn_value(row[0]), sorted(self._connection.execute(query).fetchall())

    def counts(self, store: Store) -> Mapping[Partition, Counts]:
        return stored_counts(self._connection)

    def check_models(self, source: psycopg.Connection[Any], store: Store) -> None:
        _check_oracles(source, self._declarations, lambda query: self._connection.execute(query).fetchall())
        assert_built(self._connection, self._tables, self._declarations)

    def crash_after(self, store: Store, statements: int) -> Callable[[], None]:
        connection: Any = store._connection  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
        connection.execute = _dying(connection.execute, statements)
        return lambda: vars(connection).pop("execute", None)


class AnalyticsSubject:
    """The analytics store. Every few commits a published copy is made, and held against it."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "live.duckdb"
        self._declarations = registry.load(PACKAGE).of_store("analytics")

    def close(self) -> None:
        return

    def make(self, tables: Sequence[Table], shapes: Shapes) -> Store:
        copies, commits = Copies(self._path), itertools.count(1)

        def committed(checkpoint: Checkpoint, _revision: int) -> None:
            if checkpoint.phase == "streaming" and next(commits) % _COMMITS_PER_COPY == 0:
                copies.publish()

        return AnalyticsStore(
            self._path,
            tables,
            self._declarations,
            memory_limit="1GB",
            shapes=shapes,
            committed=committed,
            unpublished=copies.unpublished,
        )

    def wipe(self) -> None:
        for path in self._path.parent.glob(f"{self._path.name}*"):
            path.unlink()

    def expected(self, source: psycopg.Connection[Any], tables: Sequence[Table]) -> Rows:
        return _answers(self._declarations, "expected", lambda query: source.execute(query).fetchall())

    def stored(self, store: Store) -> tuple[int, Rows]:
        assert isinstance(store, AnalyticsStore)
        cursor = store.cursor()
        rows = _answers(self._declarations, "stored", lambda query: cursor.execute(query).fetchall())
        return store.checkpoint.end_lsn if store.checkpoint.phase != "snapshot" else 0, rows

    def counts(self, store: Store) -> Mapping[Partition, Counts]:
        assert isinstance(store, AnalyticsStore)
        return store.counts() if store.checkpoint.phase != "snapshot" else {}

    def check_models(self, source: psycopg.Connection[Any], store: Store) -> None:
        assert isinstance(store, AnalyticsStore)
        cursor = store.cursor()
        _check_oracles(source, self._declarations, lambda query: cursor.execute(query).fetchall())

    def crash_after(self, store: Store, statements: int) -> Callable[[], None]:
        untyped: Any = store
        whole = untyped._connection
        untyped._connection = _Fragile(whole, _dying(whole.execute, statements))

        def heal() -> None:
            untyped._connection = whole

        return heal


class _Fragile:
    def __init__(self, whole: Any, execute: Callable[..., Any]) -> None:
        self._whole = whole
        self.execute = execute

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)


def _dying(execute: Callable[..., Any], statements: int) -> Callable[..., Any]:
    left = [statements]

    def dying(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise Crash
        return execute(*arguments, **options)

    return dying


def _everything(tables: Sequence[tuple[str, Identifier]]) -> Composed:
    parts = [SQL("select {}, t::text from {} t").format(Literal(name), relation) for name, relation in tables]
    return SQL(" union all ").join(parts)


def _answers(declarations: Declarations, side: str, ask: Callable[[Any], list[Any]]) -> Rows:
    oracles = [oracle for model in declarations.read_models if (oracle := oracle_of(model, PACKAGE))]
    return sorted((o.name, repr(tuple(row))) for o in oracles for row in ask(getattr(o, side)))


def _check_oracles(
    source: psycopg.Connection[Any], declarations: Declarations, stored: Callable[[Any], list[Any]]
) -> None:
    """Equal to SQL on the source that shares nothing with the engine (projectors/read_models/oracles)."""
    expected = _answers(declarations, "expected", lambda query: source.execute(query).fetchall())
    kept = _answers(declarations, "stored", stored)
    assert kept == expected, f"not what the source says: {sorted({n for n, _ in set(kept) ^ set(expected)})}"

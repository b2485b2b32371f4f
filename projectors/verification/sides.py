"""The two sides of a comparison: the source at one moment, and a store with its position. Reads only."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, Protocol, TypeAlias

import httpx
import psycopg
from psycopg.sql import SQL, Composed, Identifier, Placeholder

from cdc.errors import Fatal, Transient
from config.settings import Settings
from projectors.checkpoint import lsn_value
from projectors.declaration import StoreName
from projectors.read_model import ReadModel
from projectors.rollup import Rollup
from projectors.verification.checksums import Checksums, checksums, range_of
from projectors.verification.endpoint import Endpoint
from projectors.verification.oracles import SESSION, Check, Oracle, with_parameters

Key = tuple[Any, ...]
Row = tuple[str, ...]  # each value but the key's as JSON
Rows = dict[Key, Row]


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ranges of a hash of the key."""

    of: Sequence[str]


Part: TypeAlias = Ranges | Sequence[Key]  # of a check's rows: those of some ranges, or those with some keys


class StoreSide(Protocol):
    """Reads a store's rows and position."""

    def checksums(self, oracle: Oracle) -> Checksums:
        """Of all rows, computed by the store."""
        ...

    def rows(self, oracle: Oracle, part: Part) -> Rows:
        """Some rows."""
        ...

    def position(self) -> int:
        """End LSN of the last source transaction in it."""
        ...

    def incomplete(self) -> Collection[str]:
        """Models whose rows are known to be behind: parked, or with dead letters."""
        ...

    def columns(self, model: ReadModel | Rollup) -> Mapping[str, str]:
        """A read model's or rollup's columns with their types, in the store's own words."""
        ...

    def select(self, query: LiteralString) -> Sequence[Sequence[Any]]:
        """The first rows of one statement, as many as the store answers with."""
        ...


@dataclass(frozen=True, slots=True)
class Sides:
    """The source, and the stores by name."""

    source: Source
    stores: Mapping[StoreName, StoreSide]


@contextmanager
def reading(settings: Settings, check: Check | None = None) -> Generator[Sides]:
    """Both sides, for as long as the block runs. Raises Transient when one does not answer, in the block too; ``check`` is
    named then."""
    source_dsn, queries_dsn = settings.source_dsn, settings.queries_dsn
    if source_dsn is None or queries_dsn is None:
        raise Fatal("READSIDE_SOURCE_DSN and READSIDE_QUERIES_DSN are needed; is the stack up? `readside status`")
    try:
        with (
            psycopg.connect(source_dsn.get_secret_value(), options=SESSION) as source,
            psycopg.connect(queries_dsn.get_secret_value(), autocommit=True, options=SESSION) as serving,
            httpx.Client(base_url=f"http://{settings.analytics_address}", timeout=60.0, trust_env=False) as analytics,
        ):
            yield Sides(Source(source), {"serving": Serving(serving), "analytics": Analytics(analytics)})
    except (psycopg.OperationalError, httpx.HTTPError) as exc:
        what = check.name if check else "what the stores hold"
        raise Transient(f"{what} cannot be verified now: {type(exc).__name__}; see `readside status`") from exc


class Source:
    """The captured database. Each reading is one short transaction, of one moment."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self.spent_s = 0.0  #: in queries, so far

    def checksums(self, oracle: Oracle) -> tuple[Checksums, int]:
        """Of all rows, and the end of the WAL at that moment."""
        with self._moment():
            return _checksums(self._connection, oracle, oracle.expected), self._lsn()

    def rows(self, oracle: Oracle, part: Part) -> tuple[Rows, int]:
        """Some rows, and the end of the WAL at that moment."""
        with self._moment():
            return _rows(self._connection, oracle, oracle.expected, part), self._lsn()

    def columns(self, oracle: Oracle) -> Sequence[str]:
        """The names of a row's values, behind the key's."""
        with self._moment():
            return _columns(self._connection, oracle, oracle.expected)[len(oracle.key) :]

    def select(self, query: LiteralString, parameters: Mapping[str, str | int]) -> Sequence[Sequence[Any]]:
        """The rows of one statement."""
        with self._moment():
            return self._connection.execute(query, parameters).fetchall()

    @contextmanager
    def _moment(self) -> Generator[None]:
        began = time.monotonic()
        with self._connection.transaction():
            self._connection.execute("set transaction isolation level repeatable read, read only")
            yield
        self.spent_s += time.monotonic() - began

    def _lsn(self) -> int:
        row = self._connection.execute("select pg_current_wal_insert_lsn()::text").fetchone()
        assert row is not None
        return lsn_value(row[0])


class Serving:
    """The serving store."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def checksums(self, oracle: Oracle) -> Checksums:
        """See StoreSide."""
        return _checksums(self._connection, oracle, oracle.stored)

    def rows(self, oracle: Oracle, part: Part) -> Rows:
        """See StoreSide."""
        return _rows(self._connection, oracle, oracle.stored, part)

    def position(self) -> int:
        """See StoreSide."""
        row = self._connection.execute(
            "select end_lsn::text from readside.checkpoint where store = 'serving'"
        ).fetchone()
        return lsn_value(row[0]) if row else 0

    def incomplete(self) -> Collection[str]:
        """See StoreSide."""
        rows = self._connection.execute(
            "select name from readside.declared where parked is not null or dead_letters > 0"
        ).fetchall()
        return {name for (name,) in rows}

    def columns(self, model: ReadModel | Rollup) -> Mapping[str, str]:
        """See StoreSide."""
        return dict(
            self._connection.execute(
                """
                select attname::text, format_type(atttypid, atttypmod)
                  from pg_attribute
                 where attrelid = %(name)s::text::regclass and attnum > 0 and not attisdropped
                 order by attnum
                """,
                {"name": model.reference},
            ).fetchall()
        )

    def select(self, query: LiteralString) -> Sequence[Sequence[Any]]:
        """See StoreSide."""
        return self._connection.execute(SQL(query)).fetchall()


class Analytics:
    """The analytics store, by ad hoc SQL."""

    _PAGE = 5_000

    def __init__(self, client: httpx.Client) -> None:
        self._endpoint = Endpoint(client)

    def checksums(self, oracle: Oracle) -> Checksums:
        """See StoreSide."""
        columns = self._endpoint.ask(f"select * from ({oracle.stored}) rows limit 0", {})["columns"]  # noqa: S608
        rows = self._endpoint.ask(checksums(oracle.stored, oracle.key, columns, "duckdb"), {})["rows"]
        return {part: (count, int(total)) for part, count, total in rows}

    def rows(self, oracle: Oracle, part: Part) -> Rows:
        """See StoreSide."""
        rows: Rows = {}
        after: Key | None = None
        names = ", ".join(f'"{name}"' for name in oracle.key)
        width = len(oracle.key)
        # By keys all rows of their ranges are read: a list of keys of several columns is no parameter.
        where = f"list_contains($ranges, {range_of(oracle.key)})" if isinstance(part, Ranges) else "true"
        asked: dict[str, Any] = {"ranges": list(part.of)} if isinstance(part, Ranges) else {}
        while True:
            marks = ", ".join(f"$a{number}" for number in range(1, width + 1))
            behind = "" if after is None else f" and ({names}) > ({marks})"
            answer = self._endpoint.ask_some(
                f"select * from ({oracle.stored}) rows where {where}{behind} order by {names} limit {self._PAGE}",  # noqa: S608
                asked if after is None else asked | {f"a{number}": value for number, value in enumerate(after, 1)},
            )
            for row in answer["rows"]:
                rows[tuple(row[:width])] = _row(row[width:])
            if not answer["truncated"] and len(answer["rows"]) < self._PAGE:
                break
            after = tuple(answer["rows"][-1][:width])
        return rows if isinstance(part, Ranges) else {key: rows[key] for key in part if key in rows}

    def position(self) -> int:
        """See StoreSide."""
        return lsn_value(self._endpoint.state()["end_lsn"])

    def incomplete(self) -> Collection[str]:
        """See StoreSide."""
        return self._endpoint.state()["incomplete"].keys()

    def columns(self, model: ReadModel | Rollup) -> Mapping[str, str]:
        """See StoreSide."""
        answer = self._endpoint.ask(
            "select column_name, data_type from duckdb_columns() where schema_name = $schema and table_name = $name "
            "order by column_index",
            {"schema": "rollups" if isinstance(model, Rollup) else "main", "name": model.name},
        )
        return {name: kind for name, kind in answer["rows"]}

    def select(self, query: LiteralString) -> Sequence[Sequence[Any]]:
        """See StoreSide."""
        return self._endpoint.ask_some(query, {})["rows"]


def _columns(connection: psycopg.Connection[Any], oracle: Oracle, query: LiteralString) -> list[str]:
    found = connection.execute(SQL("select * from ({}) r limit 0").format(_text(oracle, query)), oracle.parameters)
    return [column.name for column in found.description or ()]


def _checksums(connection: psycopg.Connection[Any], oracle: Oracle, query: LiteralString) -> Checksums:
    columns = _columns(connection, oracle, query)
    statement = checksums(query, oracle.key, columns, "postgres")
    rows = connection.execute(_text(oracle, statement), oracle.parameters).fetchall()
    return {part: (count, int(total)) for part, count, total in rows}


def _rows(connection: psycopg.Connection[Any], oracle: Oracle, query: LiteralString, part: Part) -> Rows:
    if isinstance(part, Ranges):
        where: Composed = SQL("{} = any(%(ranges)s)").format(SQL(with_parameters(range_of(oracle.key))))
        asked: dict[str, Any] = {"ranges": list(part.of)}
    else:
        asked = {f"key_{number}": [key[number] for key in part] for number in range(len(oracle.key))}
        # A list of texts has no type of its own.
        lists = (
            SQL("{}::text[]" if isinstance(values[0], str) else "{}").format(Placeholder(name))
            for name, values in asked.items()
        )
        where = SQL("({}) in (select * from unnest({}))").format(
            SQL(", ").join(Identifier(name.replace("%", "%%")) for name in oracle.key), SQL(", ").join(lists)
        )
    statement = SQL("select * from ({}) r where {}").format(_text(oracle, query), where)
    width = len(oracle.key)
    found = connection.execute(statement, {**oracle.parameters, **asked})
    return {tuple(row[:width]): _row(row[width:]) for row in found.fetchall()}


def _text(oracle: Oracle, query: LiteralString) -> SQL:
    """What is run with parameters; one without any of its own has its percent signs doubled."""
    return SQL(with_parameters(query) if oracle.parameters else query.replace("%", "%%"))


def _row(values: Sequence[Any]) -> Row:
    return tuple(json.dumps(value, sort_keys=True, default=str) for value in values)

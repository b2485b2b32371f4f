"""Compares the stores with the source: every row, at positions that make a difference certain, also under load.

A row is called different only when the source gave the same row before and after the store's row was read, and the
store stood past the first of those readings (its position was waited for). Everything else is read again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, Protocol

import httpx
import psycopg
from psycopg.sql import SQL, Composed, Identifier, Placeholder

from cdc.errors import Fatal, Transient
from config.settings import Settings
from projectors.checkpoint import lsn_text, lsn_value
from projectors.declaration import StoreName
from projectors.oracles import SESSION, Check, Oracle, Recomputation, recomputing
from projectors.read_model import ReadModel

Key = tuple[Any, ...]
Rows = dict[Key, bytes]  # key → digest of the row

_CATCH_UP_S = 60.0
_READINGS = 20  # of a row that changes while it is looked at
_SHOWN = 10  # differing keys in a report


@dataclass(frozen=True, slots=True)
class Verdict:
    """What comparing one model, or one mirrored table, gave."""

    model: str
    store: str
    rows: int  #: compared, in the source
    differences: int
    first: tuple[Key, ...]  #: the first differing keys
    kinds: Mapping[str, int]  #: missing, unexpected, different


class StoreReader(Protocol):
    """Reads a store's rows and position."""

    def rows(self, oracle: Oracle, keys: Sequence[Key] | None) -> Rows:
        """All rows, or those of some keys."""
        ...

    def position(self) -> int:
        """End LSN of the last source transaction in it."""
        ...

    def columns(self, model: ReadModel) -> Mapping[str, str]:
        """A read model's columns with their types, in the store's own words."""
        ...

    def select(self, query: LiteralString) -> Sequence[Sequence[Any]]:
        """The rows of one statement."""
        ...


def verify(settings: Settings, check: Check) -> Verdict:
    """Compare row by row. Raises Transient when a component does not answer, or the store stays behind."""
    source_dsn, queries_dsn = settings.source_dsn, settings.queries_dsn
    if source_dsn is None or queries_dsn is None:
        raise Fatal("READSIDE_SOURCE_DSN and READSIDE_QUERIES_DSN are needed; is the stack up? `readside status`")
    try:
        with (
            psycopg.connect(source_dsn.get_secret_value(), options=SESSION) as source,
            psycopg.connect(queries_dsn.get_secret_value(), autocommit=True, options=SESSION) as serving,
            httpx.Client(base_url=f"http://{settings.analytics_address}", timeout=60.0, trust_env=False) as analytics,
        ):
            readers: dict[StoreName, StoreReader] = {"serving": _Serving(serving), "analytics": _Analytics(analytics)}
            if isinstance(check, Recomputation):
                return _recompute(readers[check.model.store], check.model)
            return _compare(source, readers[check.store], check)
    except (psycopg.OperationalError, httpx.HTTPError) as exc:
        name = check.name if isinstance(check, Oracle) else check.model.name
        raise Transient(f"{name} cannot be verified now: {type(exc).__name__}; see `readside status`") from exc


def _recompute(store: StoreReader, model: ReadModel) -> Verdict:
    found = store.select(recomputing(model, store.columns(model)))
    total = found[0][0]
    different = {tuple(row[1:-1]): row[-1] for row in found if row[-1] is not None}
    return _verdict(model.name, model.store, total, different)


def _compare(source: psycopg.Connection[Any], store: StoreReader, oracle: Oracle) -> Verdict:
    expected = _expected(source, store, oracle, None)
    stored = store.rows(oracle, None)
    total = len(expected)
    doubtful = [key for key in expected.keys() | stored.keys() if expected.get(key) != stored.get(key)]
    different: dict[Key, str] = {}
    for _ in range(_READINGS):
        if not doubtful:
            break
        before = _expected(source, store, oracle, doubtful)
        stored = store.rows(oracle, doubtful)
        after = _expected(source, None, oracle, doubtful)
        still: list[Key] = []
        for key in doubtful:
            if stored.get(key) in (before.get(key), after.get(key)):
                continue
            if before.get(key) == after.get(key):
                different[key] = "missing" if key not in stored else "different" if key in before else "unexpected"
            else:
                still.append(key)
        doubtful = still
    if doubtful:
        raise Transient(f"{oracle.name}: {len(doubtful)} rows change faster than they can be compared; try again")
    return _verdict(oracle.name, oracle.store, total, different)


def _verdict(name: str, store: StoreName, total: int, different: Mapping[Key, str]) -> Verdict:
    kinds = list(different.values())
    return Verdict(
        model=name,
        store=store,
        rows=total,
        differences=len(different),
        first=tuple(sorted(different, key=repr)[:_SHOWN]),
        kinds={kind: kinds.count(kind) for kind in sorted(set(kinds))},
    )


def _expected(
    source: psycopg.Connection[Any], store: StoreReader | None, oracle: Oracle, keys: Sequence[Key] | None
) -> Rows:
    """The source's rows at one moment; with ``store``, it has been waited for to contain that moment."""
    with source.transaction():
        source.execute("set transaction isolation level repeatable read, read only")
        query, parameters = _filtered(oracle, oracle.expected, keys)
        rows = _digested(oracle, source.execute(query, parameters))
        row = source.execute("select pg_current_wal_insert_lsn()::text").fetchone()
    assert row is not None
    if store is not None:
        _await(store, lsn_value(row[0]), oracle)
    return rows


def _await(store: StoreReader, lsn: int, oracle: Oracle) -> None:
    deadline = time.monotonic() + _CATCH_UP_S
    while (position := store.position()) < lsn:
        if time.monotonic() > deadline:
            raise Transient(
                f"the {oracle.store} store is at {lsn_text(position)} and has not reached {lsn_text(lsn)} "
                f"in {_CATCH_UP_S:.0f} s; see `readside status`"
            )
        time.sleep(0.05)


class _Serving:
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def rows(self, oracle: Oracle, keys: Sequence[Key] | None) -> Rows:
        query, parameters = _filtered(oracle, oracle.stored, keys)
        return _digested(oracle, self._connection.execute(query, parameters))

    def position(self) -> int:
        row = self._connection.execute(
            "select end_lsn::text from readside.checkpoint where store = 'serving'"
        ).fetchone()
        return lsn_value(row[0]) if row else 0

    def columns(self, model: ReadModel) -> Mapping[str, str]:
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
        return self._connection.execute(SQL(query)).fetchall()


class _Analytics:
    _PAGE = 5_000

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def rows(self, oracle: Oracle, keys: Sequence[Key] | None) -> Rows:
        rows: Rows = {}
        after: Key | None = None
        names = ", ".join(f'"{name}"' for name in oracle.key)
        width = len(oracle.key)
        while True:
            marks = ", ".join(f"$a{number}" for number in range(1, width + 1))
            where = "" if after is None else f" where ({names}) > ({marks})"
            answer = self._ask(
                f"select * from ({oracle.stored}) rows{where} order by {names} limit {self._PAGE}",  # noqa: S608
                {} if after is None else {f"a{number}": value for number, value in enumerate(after, 1)},
            )
            for row in answer["rows"]:
                rows[tuple(row[:width])] = _digest(row[width:])
            if len(answer["rows"]) < self._PAGE:
                break
            after = tuple(answer["rows"][-1][:width])
        return rows if keys is None else {key: rows[key] for key in keys if key in rows}

    def position(self) -> int:
        response = self._client.get("/state")
        response.raise_for_status()
        return lsn_value(response.json()["end_lsn"])

    def columns(self, model: ReadModel) -> Mapping[str, str]:
        answer = self._ask(
            "select column_name, data_type from duckdb_columns() where schema_name = 'main' and table_name = $name "
            "order by column_index",
            {"name": model.name},
        )
        return {name: kind for name, kind in answer["rows"]}

    def select(self, query: LiteralString) -> Sequence[Sequence[Any]]:
        return self._ask(query, {})["rows"]

    def _ask(self, sql: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        response = self._client.post("/sql", json={"sql": sql, "parameters": parameters})
        if response.is_error:
            raise Fatal(f"the analytics store refused an oracle: {response.json().get('detail', response.status_code)}")
        return response.json()


def _filtered(
    oracle: Oracle, query: LiteralString, keys: Sequence[Key] | None
) -> tuple[SQL | Composed, list[Any] | None]:
    if keys is None:
        return SQL(query), None
    columns = SQL(", ").join(Identifier(name) for name in oracle.key)
    values = [[key[number] for key in keys] for number in range(len(oracle.key))]
    lists = SQL(", ").join([Placeholder()] * len(values))
    return (
        SQL("select * from ({}) r where ({}) in (select * from unnest({}))").format(
            SQL(query.replace("%", "%%")), columns, lists
        ),
        values,
    )


def _digested(oracle: Oracle, cursor: psycopg.Cursor[Any]) -> Rows:
    width = len(oracle.key)
    return {tuple(row[:width]): _digest(row[width:]) for row in _fetched(cursor)}


def _fetched(cursor: psycopg.Cursor[Any]) -> Iterator[Sequence[Any]]:
    while rows := cursor.fetchmany(5_000):
        yield from rows


def _digest(values: Sequence[Any]) -> bytes:
    text = json.dumps(list(values), sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()

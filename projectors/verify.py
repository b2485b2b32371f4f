"""Compares read models with the source: every row, at positions that make a difference certain, also under load.

A row is called different only when the source gave the same row before and after the store's row was read, and the
store stood past the first of those readings (its position was waited for). Everything else is read again.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, Protocol, cast

import httpx
import psycopg
from psycopg.sql import SQL, Composed, Identifier, Placeholder

from cdc.errors import Fatal, Transient
from config.settings import Settings
from projectors.checkpoint import lsn_text, lsn_value
from projectors.read_model import ReadModel

Key = tuple[Any, ...]
Rows = dict[Key, bytes]  # key → digest of the row

_CATCH_UP_S = 60.0
_READINGS = 20  # of a row that changes while it is looked at
_SHOWN = 10  # differing keys in a report


@dataclass(frozen=True, slots=True)
class Oracle:
    """What a model's rows must be (SQL on the source), and what they are (SQL on its store), key columns first."""

    model: ReadModel
    expected: LiteralString
    stored: LiteralString


@dataclass(frozen=True, slots=True)
class Verdict:
    """What comparing one model gave."""

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


def oracle_of(model: ReadModel, package: str) -> Oracle:
    """The oracle file beside the declarations, or the declared query itself, run on the source's tables."""
    file = importlib.resources.files(package) / "oracles" / f"{model.name}.sql"
    if file.is_file():
        text = cast("LiteralString", file.read_text())
        _, expected, stored = re.split(r"^-- (?:expected|stored)$", text, flags=re.MULTILINE)
        return Oracle(model, cast("LiteralString", expected), cast("LiteralString", stored))
    raise Fatal(
        f"{model.name} has no oracle: write {package.replace('.', '/')}/oracles/{model.name}.sql (see its README.md)"
    )


def verify(settings: Settings, oracle: Oracle) -> Verdict:
    """Compare one model, row by row. Raises Transient when a component does not answer, or the store stays behind."""
    source_dsn, queries_dsn = settings.source_dsn, settings.queries_dsn
    if source_dsn is None or queries_dsn is None:
        raise Fatal("READSIDE_SOURCE_DSN and READSIDE_QUERIES_DSN are needed; is the stack up? `readside status`")
    try:
        with (
            psycopg.connect(source_dsn.get_secret_value()) as source,
            psycopg.connect(queries_dsn.get_secret_value(), autocommit=True) as serving,
            httpx.Client(base_url=f"http://{settings.analytics_address}", timeout=60.0, trust_env=False) as analytics,
        ):
            reader = _Serving(serving) if oracle.model.store == "serving" else _Analytics(analytics)
            return _compare(source, reader, oracle)
    except (psycopg.OperationalError, httpx.HTTPError) as exc:
        raise Transient(
            f"{oracle.model.name} cannot be verified now: {type(exc).__name__}; see `readside status`"
        ) from exc


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
        raise Transient(f"{oracle.model.name}: {len(doubtful)} rows change faster than they can be compared; try again")
    kinds = list(different.values())
    return Verdict(
        model=oracle.model.name,
        store=oracle.model.store,
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
                f"the {oracle.model.store} store is at {lsn_text(position)} and has not reached {lsn_text(lsn)} "
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


class _Analytics:
    _PAGE = 5_000

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def rows(self, oracle: Oracle, keys: Sequence[Key] | None) -> Rows:
        rows: Rows = {}
        after: Key | None = None
        names = ", ".join(f'"{name}"' for name in oracle.model.key)
        width = len(oracle.model.key)
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
    columns = SQL(", ").join(Identifier(name) for name in oracle.model.key)
    values = [[key[number] for key in keys] for number in range(len(oracle.model.key))]
    lists = SQL(", ").join([Placeholder()] * len(values))
    return (
        SQL("select * from ({}) r where ({}) in (select * from unnest({}))").format(
            SQL(query.replace("%", "%%")), columns, lists
        ),
        values,
    )


def _digested(oracle: Oracle, cursor: psycopg.Cursor[Any]) -> Rows:
    width = len(oracle.model.key)
    return {tuple(row[:width]): _digest(row[width:]) for row in _fetched(cursor)}


def _fetched(cursor: psycopg.Cursor[Any]) -> Iterator[Sequence[Any]]:
    while rows := cursor.fetchmany(5_000):
        yield from rows


def _digest(values: Sequence[Any]) -> bytes:
    text = json.dumps(list(values), sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()

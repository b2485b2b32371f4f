"""The serving store: one statement per read, which brings the rows and the moment they are true for together."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import sql
from psycopg_pool import ConnectionPool

from config.settings import Settings
from queries import metrics
from queries.problems import Problem
from queries.tokens import Demand
from queries.watch import COVERED, Watch

POOL_WAIT_S = 2.0
POOL_WAITING = 64  # requests that may queue for a connection; beyond them the answer is 503 at once
_OPTIONS = (
    "default_transaction_read_only=on",
    "statement_timeout=5000",  # ms
    "pg_trgm.word_similarity_threshold=0.45",  # of misspelled words of a search (queries/search.py)
)


class Gate:
    """Bounds how many requests may block on one thing, so that they never take all of the server's threads."""

    def __init__(self, limit: int) -> None:
        self._free = threading.BoundedSemaphore(limit)

    @contextmanager
    def entered(self) -> Generator[bool]:
        """Yields whether there was room; never waits for it."""
        entered = self._free.acquire(blocking=False)
        try:
            yield entered
        finally:
            if entered:
                self._free.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one statement saw: the rows, and the checkpoint in the same snapshot of the database."""

    as_of: datetime
    end_lsn: str
    #: Whether the token's write is among what was seen.
    covered: bool
    rows: list[tuple[Any, ...]]
    #: Why rows of the read model may be behind the rest; None when none is.
    incomplete: str | None = None
    #: The demand was not met, and the caller takes what there is.
    stale: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every answer made from this snapshot."""
        return freshness_headers(self.as_of, stale=self.stale, incomplete=self.incomplete)


@lru_cache(maxsize=256)  # the answers of one moment say the same
def rfc3339(at: datetime) -> str:
    """The moment in UTC with a ``Z`` and microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def freshness_headers(as_of: datetime, *, stale: bool = False, incomplete: str | None = None) -> dict[str, str]:
    """``Readside-As-Of`` and ``Readside-Lag-Ms``; clocks that disagree never make a negative lag.

    ``Readside-Stale`` says that a demand was not met, ``Readside-Incomplete`` why rows may be behind: ``parked``, because
    a table changed at the source, or ``3 dead letters``.
    """
    lag_ms = max(0, int((datetime.now(UTC) - as_of).total_seconds() * 1000))
    headers = {"Readside-As-Of": rfc3339(as_of), "Readside-Lag-Ms": str(lag_ms)}
    if incomplete:
        headers["Readside-Incomplete"] = incomplete
    return headers | {"Readside-Stale": "true"} if stale else headers


class Store:
    """The pool, the watch and the bound on waiting reads; lives as long as the server."""

    def __init__(self, settings: Settings) -> None:
        if settings.queries_dsn is None:
            raise ValueError("no serving store to read: set READSIDE_QUERIES_DSN, or start all with ./readside up")
        dsn = self.dsn = settings.queries_dsn.get_secret_value()
        self.watch = Watch(dsn)
        self.waiters = Gate(settings.token_waiters)
        self.pool: ConnectionPool[Any] = ConnectionPool(
            dsn,
            kwargs={
                "autocommit": True,  # one statement is one snapshot; nothing here spans two
                "application_name": "readside-queries",
                "connect_timeout": 2,
                "options": " -c ".join(("", *_OPTIONS)),
            },
            min_size=2,
            max_size=settings.queries_connections,
            timeout=POOL_WAIT_S,
            max_waiting=POOL_WAITING,
            reconnect_timeout=0,  # keep trying in the background, whatever the outage
            open=False,
        )

    def open(self) -> None:
        """Start connecting; the store need not be there yet."""
        self.pool.open(wait=False)
        self.watch.start()

    def close(self) -> None:
        """Stop the watch and close every connection."""
        self.watch.stop()
        self.pool.close()

    def read(self, statement: sql.Composed, parameters: Mapping[str, object], demand: Demand) -> Snapshot:
        """Run a ``statement_over`` until what it saw contains the demand's token, or the demand's time is over.

        Raises the problem ``stale-read`` when the time is over, unless the caller takes stale answers.
        """
        bound = {
            **parameters,
            "token_xid": demand.token.xid if demand.token else None,
            "token_lsn": demand.token.lsn if demand.token else None,
        }
        if not demand.anything:
            return self._fetch(statement, bound)
        woken = threading.Event()
        with self.watch.interest(demand.waited_for, woken.set):
            # A write that was just made is seldom there yet: asking for it in vain costs as much as reading it.
            in_vain = demand.token is not None and self.watch.surely_without(demand.token)
            snapshot = None if in_vain else self._fetch(statement, bound)
            if snapshot is not None and snapshot.covered:
                return snapshot
            with self.waiters.entered() as room:
                deadline = time.monotonic() + demand.wait_s
                with metrics.waiting("serving") if room else nullcontext():
                    while room and (left_s := deadline - time.monotonic()) > 0 and woken.wait(left_s):
                        woken.clear()  # before the statement: a commit meanwhile wakes again
                        snapshot = self._fetch(statement, bound)
                        if snapshot.covered:
                            return snapshot
        if snapshot is None:
            snapshot = self._fetch(statement, bound)
            if snapshot.covered:
                return snapshot
        metrics.STALE.labels("serving").inc()
        if demand.allow_stale:
            return replace(snapshot, stale=True)
        raise stale_read(snapshot, demand) if room else too_many_waiting()

    def checkpoint(self) -> Snapshot:
        """Where the store stands now; raises the problem ``not-ready`` before its first snapshot is complete."""
        return self.read(_CHECKPOINT, {}, Demand())

    def _fetch(self, statement: sql.Composed, parameters: Mapping[str, object]) -> Snapshot:
        with self.pool.connection() as conn:
            rows = fetched(conn, statement, parameters)
        require_filled(rows)
        _, as_of, end_lsn, covered, incomplete = rows[0][:5]
        return Snapshot(
            as_of=as_of, end_lsn=end_lsn, covered=covered, incomplete=incomplete, rows=[row[5:] for row in rows]
        )


def fetched(
    conn: psycopg.Connection[Any], statement: sql.Composed | bytes, parameters: Mapping[str, object]
) -> list[Any]:
    """All rows of a statement that returns some."""
    try:
        return conn.execute(statement, parameters).fetchall()
    except psycopg.errors.FeatureNotSupported:
        # "cached plan must not change result type": the read model's next version has taken its place since the statement
        # was prepared, with a column of another type.
        conn.execute("deallocate all")
        return conn.execute(statement, parameters).fetchall()


def require_filled(rows: Sequence[Sequence[object]]) -> None:
    """Refuse rows that begin with the phase and time of a checkpoint when it has no moment they are true for yet."""
    if not rows or rows[0][0] != "streaming" or rows[0][1] is None:
        raise Problem("not-ready", "The store's first snapshot is not complete.", headers={"Retry-After": "1"})


def incomplete_of(model: str) -> sql.Composed:
    """As an expression: what ``Readside-Incomplete`` says of a read model; null for nothing."""
    return sql.SQL(
        """(select case when d.parked is not null then 'parked'
                        when d.dead_letters > 0 then d.dead_letters || ' dead letters' end
              from readside.declared d
             where d.name = {model})"""
    ).format(model=sql.Literal(model))


_FIRST = sql.SQL("1")


def statement_over(rows: sql.Composable, model: str = "", order: sql.Composable = _FIRST) -> sql.Composed:
    """The statement that reads ``rows`` together with the checkpoint; one row of nulls where ``rows`` has none.

    ``model``: the read model that is read; ``order`` is over the columns of ``rows`` as ``q``.
    """
    return sql.SQL(
        """
        select c.phase, c.committed_at, c.end_lsn::text, {covered}, {incomplete}, q.*
          from readside.checkpoint c
         cross join (select %(token_xid)s::bigint as xid, %(token_lsn)s::pg_lsn as lsn) wanted
          left join ({rows}) q on true
         where c.store = 'serving'
         order by {order}
        """
    ).format(covered=sql.SQL(COVERED), incomplete=incomplete_of(model), rows=rows, order=order)


_CHECKPOINT = statement_over(sql.SQL("select 1 where false"))


def stale_read(snapshot: Snapshot, demand: Demand, version: int | None = None) -> Problem:
    """The refusal of a read whose time is over, with the position asked for and the one reached."""
    expected: dict[str, object] = {}
    actual: dict[str, object] = {"lsn": snapshot.end_lsn, "as_of": rfc3339(snapshot.as_of)}
    if demand.token is not None:
        expected["lsn"] = demand.token.lsn
    if demand.min_version is not None:
        expected["min_version"] = demand.min_version
        actual["version"] = version
    return Problem(
        "stale-read",
        f"The store did not contain the write within {demand.wait_s:g} s.",
        headers={"Retry-After": "1", **snapshot.headers},
        expected=expected,
        actual=actual,
    )


def too_many_waiting() -> Problem:
    """The refusal of a read that would have to wait while as many as may already do."""
    return Problem("too-many-waiting", "No further read may wait now.", headers={"Retry-After": "1"})

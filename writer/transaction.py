"""The one place where the writer opens a transaction, and where the token of a write is made."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from psycopg import Connection, Cursor, OperationalError
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

Database: TypeAlias = Connection[DictRow]
Pool: TypeAlias = ConnectionPool[Database]

# A transaction left open holds back vacuum and the replication slot; one that waits for a lock holds a pool connection.
_LIMITS = "-c statement_timeout=5s -c lock_timeout=4s -c idle_in_transaction_session_timeout=10s"


@dataclass(slots=True)
class Transaction:
    """One open transaction; `token` is set once it has committed."""

    db: Database
    #: The transaction the token speaks of; set by whoever answers with the work of an earlier transaction.
    xid: str | None = None
    token: str = ""


def open_pool(dsn: str, connections: int) -> Pool:
    """A pool of at most `connections` to the write database; it opens in the background, so this never waits."""
    return ConnectionPool(
        dsn,
        kwargs={"autocommit": True, "row_factory": dict_row, "options": _LIMITS, "application_name": "readside-writer"},
        min_size=min(2, connections),
        max_size=connections,
        timeout=5.0,  # seconds a request waits for a free connection
        reconnect_timeout=2.0,  # seconds until a vain attempt ends; the next request then makes a new one
        open=True,
        name="writer",
    )


@contextmanager
def transaction(pool: Pool) -> Generator[Transaction]:
    """Commit what the block does, all of it, or on an exception none of it; afterwards ``token`` names the write.

    Statements are sent in pipeline mode: they travel together until a result is fetched, and a statement whose result
    nobody fetches still raises its error here. begin and commit are spelled out because the position is to be read
    after the commit, on the way back of the same message.
    """
    with pool.connection() as db, _others_checked(pool, db), db.pipeline():
        tx = Transaction(db)
        db.execute("begin")
        yield tx
        xid = db.execute("select pg_current_xact_id_if_assigned()::text as xid")
        db.execute("commit")
        lsn = db.execute("select pg_current_wal_insert_lsn()::text as lsn")
        tx.token = f"v1.{tx.xid or only(xid)['xid'] or ''}.{only(lsn)['lsn']}"


@contextmanager
def _others_checked(pool: Pool, db: Database) -> Generator[None]:
    """When a connection turns out to be dead, look at the idle ones too: a restarted database has cut them all."""
    try:
        yield
    except OperationalError:
        if db.broken:
            pool.check()
        raise


def announce(db: Database) -> None:
    """Send the transaction through the pipeline although it changes no captured row.

    A read that carries its token waits for this very transaction; without a message of its own it would have to wait
    for other traffic, or for the next pulse, to move the store's position past it.
    """
    db.execute("select pg_logical_emit_message(true, 'readside.token', '')")


def only(cursor: Cursor[DictRow]) -> DictRow:
    """The row of a statement that answers with one row always."""
    row = cursor.fetchone()
    assert row is not None, "the statement answered without a row"
    return row

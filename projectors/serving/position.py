"""Where the serving store stands, and whose it is."""

from __future__ import annotations

import importlib.resources
from typing import Any, LiteralString, cast

import psycopg
from psycopg.rows import dict_row

from projectors.checkpoint import Checkpoint, lsn_value

Connection = psycopg.Connection[Any]


def take_over(connection: Connection, store: str) -> int:
    """Make what readside keeps if it is missing, and take the store from any other projector; returns the new epoch."""
    schema = (importlib.resources.files("projectors.serving") / "schema.sql").read_text()
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext('readside schema'))")
        connection.execute(cast("LiteralString", schema))
        row = connection.execute(
            """
            insert into readside.checkpoint as c
                   (store, epoch, phase, end_lsn, applied_at, changes, rate, state)
            values (%(store)s, 1, 'snapshot', '0/0', now(), 0, 0, '{}')
            on conflict (store) do update set epoch = c.epoch + 1
            returning epoch
            """,
            {"store": store},
        ).fetchone()
    assert row is not None
    return row[0]


def read_checkpoint(connection: Connection, store: str) -> Checkpoint:
    """Where the store stands."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            """
            select phase, end_lsn::text as end_lsn, (extract(epoch from committed_at) * 1000000)::bigint as committed_us,
                   changes, rate, state
              from readside.checkpoint
             where store = %(store)s
            """,
            {"store": store},
        ).fetchone()
    assert row is not None
    position: dict[str, Any] = row | {"end_lsn": lsn_value(row["end_lsn"])}
    return Checkpoint(**position)

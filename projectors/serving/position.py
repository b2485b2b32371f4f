"""Where the serving store stands, and whose it is."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Sequence
from typing import Any, LiteralString, cast

import psycopg
from psycopg.rows import dict_row
from psycopg.sql import SQL

from projectors.checkpoint import Checkpoint, lsn_text, lsn_value
from projectors.declaration import fingerprint

Connection = psycopg.Connection[Any]

_NAMED_PER_BATCH = 500


def take_over(connection: Connection, store: str) -> int:
    """Make what readside keeps if it is missing, and take the store from any other projector; returns the new epoch."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext('readside schema'))")
        _make_schema(connection)
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


def _make_schema(connection: Connection) -> None:
    """Make what readside keeps, unless it is noted that this release's schema.sql did so already."""
    schema = (importlib.resources.files("projectors.serving") / "schema.sql").read_text()
    note = f"readside's own tables and functions, made by schema.sql {fingerprint([schema])}"
    noted = connection.execute("select obj_description(to_regnamespace('readside'), 'pg_namespace')").fetchone()
    if noted != (note,):
        connection.execute(cast("LiteralString", schema))
        connection.execute(SQL("comment on schema readside is {}").format(note))


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


def move_parameters(store: str, checkpoint: Checkpoint, xids: Sequence[int]) -> dict[str, Any]:
    """The parameters of MOVE (statements.py); ``xids``: of the transactions applied."""
    # Named to the listeners as far as a notification's 8,000 bytes go; unnamed, they look themselves.
    named = " " + ",".join(map(str, xids)) if 0 < len(xids) <= _NAMED_PER_BATCH else ""
    return {
        "store": store,
        "phase": checkpoint.phase,
        "end_lsn": lsn_text(checkpoint.end_lsn),
        "committed_at": checkpoint.committed_at,
        "changes": checkpoint.changes,
        "rate": checkpoint.rate,
        "state": json.dumps(checkpoint.state),
        "named": named,
    }

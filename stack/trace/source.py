"""The row at the source: there or not, which transaction wrote it, and the position that a store has to pass to hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Placeholder
from psycopg.types.json import Json

from cdc.lsn import lsn_value
from config.settings import Settings
from projectors.verification.oracles import SESSION
from stack.errors import StackError
from stack.trace.sought import Sought

CONNECT_S = 2
STATEMENT_MS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """What the source says of the row. ``fault`` is why it says nothing; the rest is empty then."""

    fault: str = ""
    present: bool = False
    lsn: int = 0  #: the end of WAL when the row was read: a store that stands there holds what the row was
    looked_at: datetime | None = None
    xmin: int | None = None  #: the transaction that wrote this version, 32 bit; a savepoint's has a number of its own
    committed_at: datetime | None = None  #: where track_commit_timestamp is on
    commit_times: bool = False  #: whether it is
    key: Mapping[str, Any] = field(default_factory=dict[str, Any])
    row: Mapping[str, Any] = field(default_factory=dict[str, Any])  #: to compare; shown to nobody


def look(settings: Settings, sought: Sought) -> SourceRow:
    """The row now. Raises StackError for a value that its column cannot hold."""
    if settings.source_dsn is None:
        return SourceRow(fault="READSIDE_SOURCE_DSN is not set")
    if not sought.table.columns:
        return SourceRow(fault="the source did not answer")
    try:
        with session(settings.source_dsn.get_secret_value()) as connection:
            return _look(connection, sought)
    except psycopg.DataError as exc:
        raise StackError(f"{sought.shown} is no key of that table: {exc.diag.message_primary}") from exc
    except psycopg.Error as exc:
        return SourceRow(fault=f"the source does not answer ({type(exc).__name__})")


def _look(connection: psycopg.Connection[Any], sought: Sought) -> SourceRow:
    table = Identifier(*sought.table.qualified.split(".", 1))
    written = connection.execute(
        SQL(
            """
            select pg_current_wal_insert_lsn()::text, clock_timestamp(),
                   current_setting('track_commit_timestamp')::boolean,
                   to_jsonb(jsonb_populate_record(null::{table}, %(key)s::jsonb))
            """
        ).format(table=table),
        {"key": Json(dict(sought.key))},
    ).fetchone()
    assert written is not None
    lsn, looked_at, commit_times, key = written
    found = connection.execute(
        SQL(
            """
            select t.xmin::text::bigint,
                   case when %(commit_times)s then pg_xact_commit_timestamp(t.xmin) end,
                   to_jsonb(t)
              from {table} t
             where {same}
            """
        ).format(table=table, same=same_key(sought)),
        {**parameters(sought), "commit_times": commit_times},
    ).fetchone()
    xmin, committed_at, row = found or (None, None, {})
    return SourceRow(
        present=found is not None,
        lsn=lsn_value(lsn),
        looked_at=looked_at,
        xmin=xmin,
        committed_at=committed_at,
        commit_times=commit_times,
        key=key,
        row=row,
    )


def session(dsn: str) -> psycopg.Connection[Any]:
    """A connection that only reads, all in one snapshot, and waits for nobody long."""
    return psycopg.connect(
        dsn,
        connect_timeout=CONNECT_S,
        application_name="readside trace",
        options=f"{SESSION} -c default_transaction_read_only=on -c statement_timeout={STATEMENT_MS} "
        "-c default_transaction_isolation=repeatable\\ read",
    )


def same_key(sought: Sought) -> Composed:
    """Finds the row ``t`` by its key; the columns' types say what the parameters are."""
    return SQL(" and ").join(
        SQL("t.{} = {}").format(Identifier(name), Placeholder(f"key{place}")) for place, name in enumerate(sought.key)
    )


def parameters(sought: Sought) -> dict[str, str]:
    """The parameters of ``same_key``."""
    return {f"key{place}": str(value) for place, value in enumerate(sought.key.values())}

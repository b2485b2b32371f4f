"""Brings the serving store's tables in line with the source's catalogue and the declarations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from cdc.catalog import Table
from cdc.errors import Fatal
from projectors.read_model import Declarations, History, ReadModel
from projectors.serving.refresh import create_history, create_read_model

Connection = psycopg.Connection[Any]


def require_unambiguous(tables: Sequence[Table]) -> None:
    """Raises Fatal for tables that would share a name in the mirror."""
    names = [table.name for table in tables]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise Fatal(
            f"tables of several schemas share the name {', '.join(sorted(doubled))}; capture one with READSIDE_TABLES"
        )


def prepare_declared(connection: Connection, declarations: Declarations) -> frozenset[str]:
    """Make the declared tables that are missing or were built from another declaration; returns their names: now empty."""
    rows = connection.execute("select name, fingerprint from readside.declared").fetchall()
    built: dict[str, str] = dict(rows)
    made: set[str] = set()
    for declared in (*declarations.histories, *declarations.read_models):
        if built.get(declared.name) != declared.fingerprint:
            _make(connection, declared, anew=declared.name in built)
            made.add(declared.name)
    return frozenset(made)


def _make(connection: Connection, declared: ReadModel | History, *, anew: bool) -> None:
    kind, schema, create = _kind(declared)
    if anew and kind == "history":
        raise Fatal(
            f"history {declared.name} is declared otherwise than it was recorded, and the mirror cannot tell what happened; "
            "give the new form another name, or begin with an empty data directory"
        )
    connection.execute(SQL("drop table if exists {}").format(Identifier(schema, declared.name)))
    connection.execute(create)
    connection.execute(
        """
        insert into readside.declared as d (name, kind, version, fingerprint)
        values (%(name)s, %(kind)s, 1, %(fingerprint)s)
        on conflict (name) do update
           set version = d.version + 1, fingerprint = excluded.fingerprint, built_at = now()
        """,
        {"name": declared.name, "kind": kind, "fingerprint": declared.fingerprint},
    )


def _kind(declared: ReadModel | History) -> tuple[str, str, Composed]:
    if isinstance(declared, ReadModel):
        return "read_model", "read_models", create_read_model(declared)
    return "history", "history", create_history(declared)

"""Brings the serving store's tables in line with the source's catalogue and the declarations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

from cdc.catalog import Column, Table
from cdc.errors import Fatal
from projectors.read_model import Declarations, History, ReadModel
from projectors.serving.refresh import create_history, create_read_model
from projectors.serving.values import column_type

Connection = psycopg.Connection[Any]


def require_unambiguous(tables: Sequence[Table]) -> None:
    """Raises Fatal for tables that would share a name in the mirror."""
    names = [table.mirror for table in tables]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise Fatal(
            f"tables of several schemas share the name {', '.join(sorted(doubled))}; capture one with READSIDE_TABLES"
        )


def prepare_types(connection: Connection, tables: Sequence[Table]) -> None:
    """Make the types and extensions that the tables' columns need. Raises Fatal for one that is not as at the source."""
    columns = [column for table in tables for column in table.columns]
    for extension in sorted({column.extension for column in columns if column.extension}):
        connection.execute(SQL("create extension if not exists {}").format(Identifier(extension)))
    for column in {column.type: column for column in columns if column.labels}.values():
        _prepare_enum(connection, column)


def _prepare_enum(connection: Connection, column: Column) -> None:
    """Make an enum type as the source has it, or give it the labels it got there since."""
    row = connection.execute(
        "select array(select enumlabel::text from pg_enum where enumtypid = to_regtype(%(type)s) order by enumsortorder)",
        {"type": column.type},
    ).fetchone()
    known: list[str] = row[0] if row else []
    if not known:
        labels = SQL(", ").join(Literal(label) for label in column.labels)
        connection.execute(SQL("create type {} as enum ({})").format(column_type(column), labels))
    elif known != [label for label in column.labels if label in known]:
        raise Fatal(
            f"the labels of enum {column.type} changed at the source otherwise than by new ones; "
            "begin with an empty data directory, or `readside rebuild --from snapshot`"
        )
    for place, label in enumerate(column.labels):
        if known and label not in known:
            beside = SQL("after {}").format(column.labels[place - 1]) if place else SQL("before {}").format(known[0])
            connection.execute(SQL("alter type {} add value {} {}").format(column_type(column), label, beside))


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

"""Brings the serving store's tables in line with the source's catalogue and the declarations."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, LiteralString, cast

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

from cdc.catalog import Column, Table
from cdc.errors import Fatal
from projectors.declaration import base_of
from projectors.read_model import Declarations, History, ReadModel
from projectors.rollup import Rollup
from projectors.serving.columns import declared_columns, measures_of
from projectors.serving.mirror_indexes import blamed
from projectors.serving.refresh import create_history, create_index, create_read_model
from projectors.serving.relation import Relation, declared_relation, no_rows
from projectors.serving.rollup import create_rollup, key_rollup
from projectors.serving.values import column_type
from projectors.versions import KINDS, Built, Version, from_json, to_json

Connection = psycopg.Connection[Any]

_NAMED_INDEX = re.compile(r'\bconstraint\s+(\w+|"[^"]+")\s+(?=primary\b|unique\b|exclude\b)', re.IGNORECASE)


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


def prepare_declared(
    connection: Connection,
    tables: Sequence[Table],
    declarations: Declarations,
    kept: Mapping[str, Version],
    unnoted: Collection[str] = (),
) -> frozenset[str]:
    """Make the declared tables that are missing or were built from another declaration, or from one that reads another.

    Read models and rollups that are not ``kept`` any more are dropped: they would stand still. ``declarations`` holds those
    that are not parked. Returns the names of those that were made: now empty. Of histories ``unnoted`` that is not noted:
    another start makes them again.
    """
    rows = connection.execute("select name, kind, fingerprint from readside.declared").fetchall()
    built = {name: fingerprint for name, _, fingerprint in rows}
    for name, kind, _ in rows:
        if name not in kept and kind != "history":
            forget(connection, name, kind)
    prepare_extensions(connection, declarations.read_models)
    sources: dict[str, Table | Relation] = {table.mirror: table for table in tables}
    columns = declared_columns(connection)
    made: set[str] = set()
    for declared in (*declarations.histories, *declarations.maintained):
        version = kept[declared.name]
        if built.get(declared.name) != version.fingerprint:
            with blamed(declared.name):
                _make(connection, declared, sources, anew=declared.name in built)
            if not isinstance(declared, History) or declared.name not in unnoted:
                note(connection, version)
            made.add(declared.name)
            columns = declared_columns(connection)
        if not isinstance(declared, History):
            names = [column.name for column in columns[declared.reference]]
            sources[declared.reference] = declared_relation(declared.reference, names)
    return frozenset(made)


def prepare_extensions(connection: Connection, models: Iterable[ReadModel]) -> None:
    """Make those that these models need. Raises Fatal for one that cannot be had."""
    there = {name for (name,) in connection.execute("select extname from pg_extension").fetchall()}
    for model in models:
        for extension in sorted(set(model.extensions) - there):
            with blamed(f"{model.name} needs the extension {extension} in the serving store"):
                connection.execute(SQL("create extension if not exists {}").format(Identifier(extension)))


def _make(
    connection: Connection,
    declared: ReadModel | Rollup | History,
    sources: Mapping[str, Table | Relation],
    *,
    anew: bool,
) -> None:
    if isinstance(declared, History):
        if anew:
            raise Fatal(
                f"history {declared.name} is declared otherwise than it was recorded, and the mirror cannot tell what "
                "happened; give the new form another name, or begin with an empty data directory"
            )
        connection.execute(SQL("drop table if exists {}").format(Identifier("history", declared.name)))
        connection.execute(create_history(declared))
        return
    connection.execute(SQL("drop table if exists {}").format(Identifier(*declared.reference.split("."))))
    if isinstance(declared, ReadModel):
        connection.execute(create_read_model(declared))
    else:
        source = sources[declared.of]
        rows = no_rows(source) if isinstance(source, Table) else source.rows()
        connection.execute(create_rollup(declared, rows))
        measures_of(declared, declared_columns(connection)[declared.reference])
        connection.execute(key_rollup(declared))


def make_next(connection: Connection, version: Version, relations: Mapping[str, Relation]) -> None:
    """Make the table of a next version, empty and without indexes but its key's; those on the mirror are there.

    Raises Fatal for a mistake in it.
    """
    declared = version.declaration
    assert not isinstance(declared, History)
    bare = replace(declared, indexes=())
    if isinstance(bare, ReadModel):
        prepare_extensions(connection, [bare])
        # Names of indexes are the schema's, and those of the table that serves are taken.
        bare = replace(bare, columns=cast("LiteralString", _NAMED_INDEX.sub("", bare.columns)))
    with blamed(base_of(declared.name)):
        _make(connection, bare, relations, anew=False)
    note(connection, version)


def indexes_statements(connection: Connection, model: ReadModel) -> list[Composed]:
    """What makes a next version's indexes while it is written to; what an interrupted attempt left is dropped first."""
    table = Identifier("read_models", model.name)
    there = connection.execute(
        """
        select c.relname::text
          from pg_index i
          join pg_class c on c.oid = i.indexrelid
         where i.indrelid = to_regclass(%(table)s)
           and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
        """,
        {"table": model.reference},
    ).fetchall()
    return [
        *(SQL("drop index concurrently {}").format(Identifier("read_models", name)) for (name,) in there),
        *(create_index(table, index, concurrently=True) for index in model.indexes),
        SQL("analyze {}").format(table),
    ]


def note(connection: Connection, version: Version) -> None:
    """Remember what a table was built from."""
    kinds = {kind: name for name, kind in KINDS.items()}
    connection.execute(
        """
        insert into readside.declared as d (name, kind, version, fingerprint, declaration)
        values (%(name)s, %(kind)s, 1, %(fingerprint)s, %(declaration)s::jsonb)
        on conflict (name) do update
           set kind = excluded.kind, version = d.version + 1, fingerprint = excluded.fingerprint,
               declaration = excluded.declaration, built_at = now()
        """,
        {
            "name": version.declaration.name,
            "kind": kinds[type(version.declaration)],
            "fingerprint": version.fingerprint,
            "declaration": json.dumps(to_json(version.written)),
        },
    )


def read_built(connection: Connection) -> dict[str, Built]:
    """What the store's declared tables were built from."""
    rows = connection.execute("select name, kind, fingerprint, declaration from readside.declared").fetchall()
    return {name: Built(fingerprint=of, declaration=from_json(kind, stored)) for name, kind, of, stored in rows}


def remember_declarations(connection: Connection, kept: Mapping[str, Version]) -> None:
    """Note the declarations of tables that an earlier release has built."""
    unknown = connection.execute("select name from readside.declared where declaration is null").fetchall()
    for (name,) in unknown:
        if name in kept:
            connection.execute(
                "update readside.declared set declaration = %(of)s::jsonb where name = %(name)s",
                {"name": name, "of": json.dumps(to_json(kept[name].written))},
            )


def forget(connection: Connection, name: str, kind: str) -> None:
    """Drop a declared table, and the views that somebody made on it."""
    connection.execute(SQL("drop table if exists {} cascade").format(Identifier(f"{kind}s", name)))
    connection.execute("delete from readside.declared where name = %(name)s", {"name": name})

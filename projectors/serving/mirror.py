"""The mirror: the source's tables as they stand, and the SQL that brings one table from a batch's start to its end.

Each statement also adds the old and the new version of every row it touches to ``changed_T``, a temporary table per
source table: what affected keys are derived from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import LiteralString, cast

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from cdc.catalog import Column, Table
from cdc.encoding import encoding_of


def mirror_name(table: Table) -> Identifier:
    """mirror.T."""
    return Identifier("mirror", table.name)


def changed_name(table: Table) -> Identifier:
    """The temporary table of old and new versions."""
    return Identifier("changed_" + table.name)


def staged_name(table: Table) -> Identifier:
    """The temporary table of a later snapshot's rows."""
    return Identifier("staged_" + table.name)


def create_mirror(table: Table) -> Composed:
    """The table with the source's columns, types and primary key, and its plain indexes; no other constraint."""
    columns = SQL(",\n").join(column_definition(c) for c in table.columns)
    create = SQL("create table if not exists {} ({}, primary key ({}))").format(
        mirror_name(table), columns, names_list(table.key)
    )
    indexes = [SQL("create index on {} ({})").format(mirror_name(table), names_list(index)) for index in table.indexes]
    return SQL("; ").join([create, *indexes])


def column_definition(column: Column, *, name: bool = True) -> Composed:
    """The column as CREATE TABLE has it; without its name, its type alone."""
    return SQL("{} {}").format(Identifier(column.name) if name else SQL(""), SQL(_type(column)))


def create_changed(table: Table) -> Composed:
    """The session's temporary table; the batch that fills it empties it."""
    return SQL("create temporary table {} (like {})").format(changed_name(table), mirror_name(table))


@dataclass(frozen=True, slots=True)
class MirrorStatements:
    """The statements for one table. Each takes one parameter, ``rows``: a JSON array."""

    replace: Composed  #: rows: whole rows
    merge: Composed  #: rows: objects {base, row}; columns absent in row are those of the stored row with key base
    delete: Composed  #: rows: keys
    truncate: Composed  #: no parameter
    forget: Composed  #: empties changed_T; no parameter
    load: Composed  #: rows: whole rows of a snapshot; nothing is remembered in changed_T
    stage: Composed  #: rows: whole rows of a snapshot, into staged_T
    adopt: Composed  #: staged_T's rows into the mirror; no parameter


def mirror_statements(table: Table) -> MirrorStatements:
    """Build them from the table's catalogue entry."""
    columns = _columns(table)
    replace_ = SQL("select {} from jsonb_to_recordset(%(rows)s::jsonb) as x({})").format(
        SQL(", ").join(_value(c) for c in table.columns), _record(table.columns)
    )
    merge = merged_rows(table, SQL("select {values} {source}"))
    keys = [c for c in table.columns if c.name in table.key]
    return MirrorStatements(
        replace=_upsert(table, replace_, remember=True),
        merge=_upsert(table, merge, remember=True),
        load=_upsert(table, replace_, remember=False),
        stage=_upsert(table, replace_, remember=False, into=staged_name(table)),
        adopt=_upsert(table, SQL("select {} from {}").format(columns, staged_name(table)), remember=True),
        forget=SQL("delete from {}").format(changed_name(table)),
        delete=SQL("""
            with gone as (
                delete from {mirror} m
                 using jsonb_to_recordset(%(rows)s::jsonb) as k({record})
                 where {same}
                returning m.*)
            insert into {changed} ({columns})
            select {columns} from gone
        """).format(
            mirror=mirror_name(table),
            record=_record(keys),
            same=same(table.key, "m", "k"),
            changed=changed_name(table),
            columns=columns,
        ),
        truncate=SQL("""
            with gone as (delete from {mirror} returning *)
            insert into {changed} ({columns})
            select {columns} from gone
        """).format(mirror=mirror_name(table), changed=changed_name(table), columns=columns),
    )


def merged_rows(table: Table, template: SQL) -> Composed:
    """``template`` with {values} or {row}, rows whose absent columns are filled from the mirror, and {source}.

    {values} is a list of named columns, {row} one value of the mirror's row type. {source} reads %(rows)s, objects
    {base, row, …}, as ``e(value, number)``; ``b`` is the stored row of key ``base``.
    """
    keys = [c for c in table.columns if c.name in table.key]
    merged = [
        SQL("case when e.value->'row' ? {name} then {value} else {stored} end").format(
            name=Literal(c.name), value=_value(c, alias=False), stored=_stored(table, c)
        )
        for c in table.columns
    ]
    values = SQL(", ").join(
        SQL("{} as {}").format(v, Identifier(c.name)) for v, c in zip(merged, table.columns, strict=True)
    )
    row = SQL("row({})::{}").format(SQL(", ").join(merged), mirror_name(table))
    source = SQL("""
          from jsonb_array_elements(%(rows)s::jsonb) with ordinality as e(value, number)
         cross join lateral jsonb_to_record(coalesce(nullif(e.value->'row', 'null'), '{{}}')) as x({record})
          left join lateral jsonb_to_record(coalesce(nullif(e.value->'base', 'null'), '{{}}')) as k({keys}) on true
          left join {mirror} b on {same}
    """).format(
        record=_record(table.columns), keys=_record(keys), mirror=mirror_name(table), same=same(table.key, "b", "k")
    )
    return template.format(values=values, row=row, source=source)


def _stored(table: Table, column: Column) -> Composable:
    """The stored row's value; for a row that is not stored, what rows held when the column was added."""
    stored = Identifier("b", column.name)
    if column.missing is None:
        return stored
    return SQL("case when {} is null then {}::{} else {} end").format(
        Identifier("b", table.key[0]), Literal(column.missing), SQL(_type(column)), stored
    )


def key_record(table: Table) -> Composed:
    """The key's columns with their types, as in ``as k(…)``."""
    return _record([c for c in table.columns if c.name in table.key])


def _upsert(table: Table, incoming: Composed, *, remember: bool, into: Identifier | None = None) -> Composed:
    columns = _columns(table)
    rest = [c.name for c in table.columns if c.name not in table.key]
    update = SQL("update set {}").format(
        SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(name)) for name in rest)
    )
    write = SQL("""
        insert into {mirror} ({columns})
        select {columns} from incoming
        on conflict ({key}) do {action}
    """).format(
        mirror=into or mirror_name(table),
        columns=columns,
        key=names_list(table.key),
        action=update if rest else SQL("nothing"),
    )
    if not remember:
        return SQL("with incoming as materialized ({incoming}) {write}").format(incoming=incoming, write=write)
    return SQL("""
        with incoming as materialized ({incoming}),
             written as ({write})
        insert into {changed} ({columns})
        select {old} from {mirror} m join incoming i on {same}
         union all
        select {columns} from incoming
    """).format(
        incoming=incoming,
        write=write,
        changed=changed_name(table),
        columns=columns,
        old=SQL(", ").join(SQL("m.{}").format(Identifier(c.name)) for c in table.columns),
        mirror=mirror_name(table),
        same=same(table.key, "m", "i"),
    )


def _value(column: Column, *, alias: bool = True) -> Composed:
    name = Identifier("x", column.name)
    match encoding_of(column):
        case "json":
            value = SQL("{}::{}").format(name, SQL(_type(column)))
        case "hex":
            value = SQL("decode({}, 'hex')").format(name)
        case "number":
            value = SQL("""
                case {0} when 'POSITIVE_INFINITY' then 'Infinity' when 'NEGATIVE_INFINITY' then '-Infinity' else {0} end::{1}
            """).format(name, SQL(_type(column)))
        case "direct":
            value = SQL("{}").format(name)
    return SQL("{} as {}").format(value, Identifier(column.name)) if alias else value


def _record(columns: Iterable[Column]) -> Composed:
    return SQL(", ").join(
        SQL("{} {}").format(Identifier(c.name), SQL(_type(c)) if encoding_of(c) == "direct" else SQL("text"))
        for c in columns
    )


def _type(column: Column) -> LiteralString:
    # format_type() of the source's catalogue: PostgreSQL's own spelling, quoted where it must be. Trusted as SQL.
    return cast("LiteralString", column.type)


def _columns(table: Table) -> Composed:
    return names_list([c.name for c in table.columns])


def names_list(names: Sequence[str]) -> Composed:
    """Names as SQL lists them."""
    return SQL(", ").join(Identifier(name) for name in names)


def same(key: Sequence[str], left: str, right: str) -> Composed:
    """left.k = right.k for every column of the key."""
    parts: list[Composable] = [SQL("{} = {}").format(Identifier(left, name), Identifier(right, name)) for name in key]
    return SQL(" and ").join(parts)

"""The mirror: the source's tables as they stand, and the SQL that brings one table from a batch's start to its end.

Each statement also adds the old and the new version of every row it touches to ``changed_T``, a temporary table per
source table (relation.py): what affected keys and rollups are derived from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import LiteralString, cast

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from cdc.catalog import Column, Table
from cdc.encoding import encoding_of
from projectors.serving.relation import relation_of


def mirror_name(table: Table) -> Identifier:
    """mirror.T."""
    return Identifier("mirror", table.name)


def create_mirror(table: Table) -> Composed:
    """The table with the source's columns, types and primary key, and its plain indexes; no other constraint."""
    columns = SQL(",\n").join(SQL("{} {}").format(Identifier(c.name), SQL(_type(c))) for c in table.columns)
    create = SQL("create table if not exists {} ({}, primary key ({}))").format(
        mirror_name(table), columns, names_list(table.key)
    )
    indexes = [SQL("create index on {} ({})").format(mirror_name(table), names_list(index)) for index in table.indexes]
    return SQL("; ").join([create, *indexes])


@dataclass(frozen=True, slots=True)
class MirrorStatements:
    """The statements for one table. Each takes one parameter, ``rows``: a JSON array."""

    replace: Composed  #: rows: whole rows
    merge: Composed  #: rows: objects {base, row}; columns absent in row are those of the stored row with key base
    delete: Composed  #: rows: keys
    truncate: Composed  #: no parameter
    load: Composed  #: rows: whole rows of a snapshot; nothing is remembered in changed_T


def mirror_statements(table: Table) -> MirrorStatements:
    """Build them from the table's catalogue entry."""
    columns = _columns(table)
    relation = relation_of(table)
    replace_ = SQL("select {} from jsonb_to_recordset(%(rows)s::jsonb) as x({})").format(
        SQL(", ").join(_value(c) for c in table.columns), _record(table.columns)
    )
    merge = merged_rows(table, SQL("select {values} {source}"))
    keys = [c for c in table.columns if c.name in table.key]
    return MirrorStatements(
        replace=_upsert(table, replace_, remember=True),
        merge=_upsert(table, merge, remember=True),
        load=_upsert(table, replace_, remember=False),
        delete=SQL("""
            with gone as (
                delete from {mirror} m
                 using jsonb_to_recordset(%(rows)s::jsonb) as k({record})
                 where {same}
                returning m.*)
            insert into {changed} ({sign}, {columns})
            select -1, {columns} from gone
        """).format(
            mirror=mirror_name(table),
            record=_record(keys),
            same=same(table.key, "m", "k"),
            changed=relation.changed,
            sign=relation.sign,
            columns=columns,
        ),
        truncate=SQL("""
            with gone as (delete from {mirror} returning *)
            insert into {changed} ({sign}, {columns})
            select -1, {columns} from gone
        """).format(mirror=mirror_name(table), changed=relation.changed, sign=relation.sign, columns=columns),
    )


def merged_rows(table: Table, template: SQL) -> Composed:
    """``template`` with {values} or {row}, rows whose absent columns are filled from the mirror, and {source}.

    {values} is a list of named columns, {row} one value of the mirror's row type. {source} reads %(rows)s, objects
    {base, row, …}, as ``e(value, number)``; ``b`` is the stored row of key ``base``.
    """
    keys = [c for c in table.columns if c.name in table.key]
    merged = [
        SQL("case when e.value->'row' ? {name} then {value} else {stored} end").format(
            name=Literal(c.name), value=_value(c, alias=False), stored=Identifier("b", c.name)
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


def key_record(table: Table) -> Composed:
    """The key's columns with their types, as in ``as k(…)``."""
    return _record([c for c in table.columns if c.name in table.key])


def _upsert(table: Table, incoming: Composed, *, remember: bool) -> Composed:
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
        mirror=mirror_name(table), columns=columns, key=names_list(table.key), action=update if rest else SQL("nothing")
    )
    if not remember:
        return SQL("with incoming as materialized ({incoming}) {write}").format(incoming=incoming, write=write)
    return SQL("""
        with incoming as materialized ({incoming}),
             written as ({write})
        insert into {changed} ({sign}, {columns})
        select -1, {old} from {mirror} m join incoming i on {same}
         union all
        select 1, {columns} from incoming
    """).format(
        incoming=incoming,
        write=write,
        changed=relation_of(table).changed,
        sign=relation_of(table).sign,
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

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
from projectors.serving.relation import relation_of, temporary
from projectors.serving.values import column_type, named_value, record_type, value_of

#: Key types, by their names in pg_type, whose equal values are the same to the last bit.
_IDENTICAL_WHEN_EQUAL = frozenset(
    (
        "bool",
        "int2",
        "int4",
        "int8",
        "oid",
        "text",
        "varchar",
        "uuid",
        "date",
        "time",
        "timestamp",
        "timestamptz",
        "bytea",
    )
)


def mirror_name(table: Table) -> Identifier:
    """mirror.T."""
    return Identifier("mirror", table.mirror)


def staged_name(table: Table) -> Identifier:
    """The temporary table of a later snapshot's rows."""
    return temporary("staged", table.mirror)


def create_mirror(table: Table) -> Composed:
    """The table with the source's columns, types and key, and its plain indexes; no other constraint.

    Generated columns are computed here too. The types of enum columns and of extensions must exist.
    """
    columns = SQL(",\n").join(column_definition(c) for c in table.columns)
    create = SQL("create table if not exists {} ({}, primary key ({}))").format(
        mirror_name(table), columns, names_list(table.key)
    )
    indexes = [SQL("create index on {} ({})").format(mirror_name(table), names_list(index)) for index in table.indexes]
    return SQL("; ").join([create, *indexes])


def column_definition(column: Column, *, name: bool = True) -> Composed:
    """The column as CREATE TABLE has it; without its name, its type alone."""
    if not name:
        return column_type(column).format()
    return SQL("{} {}{}").format(Identifier(column.name), column_type(column), _generated(column))


@dataclass(frozen=True, slots=True)
class MirrorStatements:
    """The statements for one table. Each takes one parameter, ``rows``: a JSON array."""

    replace: Composed  #: rows: whole rows
    merge: Composed  #: rows: objects {base, row}; columns absent in row are those of the stored row with key base
    delete: Composed  #: rows: keys
    truncate: Composed  #: no parameter
    load: Composed  #: rows: whole rows of a snapshot; nothing is remembered in changed_T
    stage: Composed  #: rows: whole rows of a snapshot, into staged_T
    load_partial: Composed  #: the same of rows as merge takes them, which lack columns that were added since
    stage_partial: Composed
    adopt: Composed  #: staged_T's rows into the mirror; no parameter


def mirror_statements(table: Table) -> MirrorStatements:
    """Build them from the table's catalogue entry."""
    columns = _columns(table)
    relation = relation_of(table)
    replace_ = _completed(
        table,
        SQL("select {} from json_to_recordset(%(rows)s::json) as x({})").format(
            SQL(", ").join(named_value(c) for c in _sent(table)), _record(_sent(table))
        ),
    )
    merge = _completed(table, merged_rows(table, SQL("select {values} {source}")))
    return MirrorStatements(
        replace=with_parameters(_upsert(table, replace_, remember=True)),
        merge=with_parameters(_upsert(table, merge, remember=True)),
        load=with_parameters(_upsert(table, replace_, remember=False)),
        stage=with_parameters(_upsert(table, replace_, remember=False, into=staged_name(table))),
        load_partial=with_parameters(_upsert(table, merge, remember=False)),
        stage_partial=with_parameters(_upsert(table, merge, remember=False, into=staged_name(table))),
        adopt=_upsert(table, SQL("select {} from {}").format(columns, staged_name(table)), remember=True),
        delete=with_parameters(_delete(table)),
        truncate=SQL("""
            with gone as (delete from {mirror} returning *)
            insert into {changed} ({sign}, {columns})
            select -1, {columns} from gone
        """).format(mirror=mirror_name(table), changed=relation.changed, sign=relation.sign, columns=columns),
    )


def with_parameters(query: Composable) -> Composed:
    """``query`` for execution with parameters: a per cent sign in a name is a character of it, not a parameter."""
    if isinstance(query, Composed):
        return Composed([with_parameters(part) for part in query])
    if isinstance(query, SQL):
        return Composed([query])
    return Composed([SQL(cast("LiteralString", query.as_string().replace("%", "%%")))])


def merged_rows(table: Table, template: SQL) -> Composed:
    """``template`` with {values} or {row}, rows whose absent columns are filled from the mirror, and {source}.

    {values} is a list of named columns without the generated ones, {row} one value of the mirror's row type. {source}
    reads %(rows)s, objects {key, base, row, end_lsn, place, at_us} of which ``row`` alone must be there, as ``e`` with a
    ``number``; ``b`` is the stored row of key ``base``. Without a base, the row is whole.
    """
    sent = _sent(table)
    # Whether a column is there is asked of few rows: each time, the whole row is parsed.
    value = {
        c.name: SQL("case when e.base is null or e.row->{name} is not null then {value} else {stored} end").format(
            name=Literal(c.name), value=value_of(c), stored=_stored(table, c)
        )
        for c in sent
    }
    values = SQL(", ").join(SQL("{} as {}").format(value[c.name], Identifier(c.name)) for c in sent)
    row = SQL("row({})::{}").format(SQL(", ").join(value.values()), mirror_name(table))
    if len(sent) < len(table.columns):
        row = SQL("(select row({})::{} from (select {}) s)").format(
            SQL(", ").join(_computed(c) if c.generated else Identifier(c.name) for c in table.columns),
            mirror_name(table),
            values,
        )
    source = SQL("""
          from rows from (json_to_recordset(%(rows)s::json) as (
                   key text, base json, "row" json, end_lsn pg_lsn, place bigint, at_us bigint))
               with ordinality as e(key, base, "row", end_lsn, place, at_us, number)
         cross join lateral json_to_record(coalesce(e.row, '{{}}')) as x({record})
         cross join lateral (select {key} from json_to_record(coalesce(e.base, '{{}}')) as x({keys})) k
          left join {mirror} b on {same}
    """).format(
        record=_record(sent),
        key=SQL(", ").join(named_value(c) for c in table.keys),
        keys=_record(table.keys),
        mirror=mirror_name(table),
        same=same(table.key, "b", "k"),
    )
    return template.format(values=values, row=row, source=source)


def _stored(table: Table, column: Column) -> Composable:
    """The stored row's value; for a row that is not stored, what rows held when the column was added."""
    stored = Identifier("b", column.name)
    if column.missing is None:
        return stored
    return SQL("case when {} is null then {}::{} else {} end").format(
        Identifier("b", table.key[0]), Literal(column.missing), column_type(column), stored
    )


def key_values(table: Table) -> Composed:
    """A subquery: the key that the text ``v.key`` holds as a JSON object, as columns of the mirror's types."""
    return SQL("(select {} from json_to_record(v.key::json) as x({}))").format(
        SQL(", ").join(named_value(c) for c in table.keys), _record(table.keys)
    )


def _delete(table: Table) -> Composed:
    return SQL("""
        with gone as (
            delete from {mirror} m
             using (select {values} from json_to_recordset(%(rows)s::json) as x({record})) k
             where {same}
            returning m.*)
        insert into {changed} ({sign}, {columns})
        select -1, {columns} from gone
    """).format(
        mirror=mirror_name(table),
        values=SQL(", ").join(named_value(c) for c in table.keys),
        record=_record(table.keys),
        same=_identical(table.keys, "m", "k"),
        changed=relation_of(table).changed,
        sign=relation_of(table).sign,
        columns=_columns(table),
    )


def _completed(table: Table, rows: Composed) -> Composed:
    """``rows`` with generated columns computed, in the mirror's order."""
    if len(_sent(table)) == len(table.columns):
        return rows
    columns = SQL(", ").join(
        SQL("{} as {}").format(_computed(c), Identifier(c.name)) if c.generated else Identifier(c.name)
        for c in table.columns
    )
    return SQL("select {} from ({}) sent").format(columns, rows)


def _upsert(table: Table, incoming: Composed, *, remember: bool, into: Identifier | None = None) -> Composed:
    columns, sent = _columns(table), names_list([c.name for c in _sent(table)])
    changing = [c.name for c in _sent(table) if c.name not in table.key or _equal_not_identical(c)]
    update = SQL("update set {}").format(
        SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(name)) for name in changing)
    )
    write = SQL("""
        insert into {mirror} ({sent})
        select {sent} from incoming
        on conflict ({key}) do {action}
    """).format(
        mirror=into or mirror_name(table),
        sent=sent,
        key=names_list(table.key),
        action=update if changing else SQL("nothing"),
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


def _record(columns: Iterable[Column]) -> Composed:
    return SQL(", ").join(SQL("{} {}").format(Identifier(c.name), record_type(c)) for c in columns)


def _sent(table: Table) -> list[Column]:
    return [column for column in table.columns if column.generated is None]


def _generated(column: Column) -> Composable:
    if not column.generated:
        return SQL("")
    return SQL(" generated always as ({}) stored").format(SQL(cast("LiteralString", column.generated)))


def _computed(column: Column) -> Composed:
    # pg_get_expr() of the source's catalogue, trusted as SQL; part of a statement with parameters.
    expression = cast("LiteralString", (column.generated or "null").replace("%", "%%"))
    return SQL("({})::{}").format(SQL(expression), column_type(column))


def _identical(columns: Sequence[Column], left: str, right: str) -> Composed:
    """left = right; also in form where values of one type may be equal and yet differ, as 1.0 and 1.00 do."""
    parts: list[Composable] = [same([c.name for c in columns], left, right)]
    parts += [
        SQL("{}::text = {}::text").format(Identifier(left, c.name), Identifier(right, c.name))
        for c in columns
        if _equal_not_identical(c)
    ]
    return SQL(" and ").join(parts)


def _equal_not_identical(column: Column) -> bool:
    return column.base_type not in _IDENTICAL_WHEN_EQUAL


def _columns(table: Table) -> Composed:
    return names_list([c.name for c in table.columns])


def names_list(names: Sequence[str]) -> Composed:
    """Names as SQL lists them."""
    return SQL(", ").join(Identifier(name) for name in names)


def same(key: Sequence[str], left: str, right: str) -> Composed:
    """left.k = right.k for every column of the key."""
    parts: list[Composable] = [SQL("{} = {}").format(Identifier(left, name), Identifier(right, name)) for name in key]
    return SQL(" and ").join(parts)

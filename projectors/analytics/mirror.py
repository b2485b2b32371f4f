"""The mirror in DuckDB and the SQL that moves one table of it.

Measured rule (notes on DuckDB 2.0): delete by a staged batch, then insert. ON CONFLICT, MERGE and UPDATE rewrite row
groups and grow with the table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from cdc.catalog import Column, Table
from cdc.encoding import DATE_INFINITY, DATE_MINUS_INFINITY, Encoding, encoding_of
from projectors.analytics.quoting import literal, quoted

_TYPES = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "oid": "uinteger",
    "float4": "float",
    "float8": "double",
    "bool": "boolean",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
    "uuid": "uuid",
    "bytea": "blob",
    "json": "json",
    "jsonb": "json",
}


#: As what a value is read from JSON before it is converted; text where nothing is said.
_RAW: dict[Encoding, str] = {
    "date": "integer", "time": "bigint", "timestamp": "bigint", "bit": "boolean",
    "point": "json", "line": "json", "circle": "json",
}  # fmt: skip
_CONVERSIONS: dict[Encoding, str] = {
    "json": "{v}::json",
    "hex": "unhex({v})",
    "number": "{v}::{type}",
    "date": f"case {{v}} when {DATE_INFINITY} then 'infinity' when {DATE_MINUS_INFINITY} then '-infinity' "
    "else date '1970-01-01' + {v} end",
    "time": "case {v} when 86400000000 then time '24:00:00' else time '00:00:00' + to_microseconds({v}) end",
    "timestamp": "case {v} when 9223372036854775807 then 'infinity'::timestamp "
    "when -9223372036854775808 then '-infinity'::timestamp else make_timestamp({v}) end",
    # Year 0 is 1 BC, and years of more than four digits come after a plus.
    "instant": "case when {v}[1] = '+' then {v}[2:]::timestamptz when regexp_matches({v}, '^(-[0-9]|0000)') then "
    "(printf('%04d', 1 - regexp_extract({v}, '^-?[0-9]{{4}}')::int) || replace("
    "regexp_extract({v}, '^-?[0-9]{{4}}(.*)Z', 1), 'T', ' (BC) ') || '+00')::timestamptz else {v}::timestamptz end",
    "bit": "{v}::int::varchar",
    "text": "decode(unhex({v}))",
}
#: Digits of DuckDB's largest decimal.
_MOST_DIGITS = 38


@dataclass(frozen=True, slots=True)
class MirrorSql:
    """One table's statements. ``incoming`` is a relation with the text columns row and base."""

    create: str
    create_changed: str  #: temporary: old and new versions of the batch's rows
    stage: str  #: incoming → staged, typed; of rows that are whole
    stage_partial: tuple[str, ...]  #: the same, merged with the stored rows where columns were left out
    stage_versions: str  #: incoming versions → versions: number, end_lsn, place, at, the key and the row, null for none
    stage_versions_partial: tuple[str, ...]  #: the same, merged
    remember_before: str  #: stored rows of the keys in versions → before
    stage_keys: str  #: incoming, whose rows are keys → staged keys
    remember_old: str  #: stored rows of the staged keys → changed
    remember_new: str  #: staged → changed
    remember_all: str  #: every stored row → changed
    delete: str  #: stored rows of the staged keys
    insert: str  #: staged → stored
    clear: str  #: all stored rows
    create_snapshot: str  #: temporary: the rows of a later snapshot
    add_to_snapshot: tuple[str, ...]  #: staged → snapshot's rows
    apply_snapshot: tuple[str, ...]  #: stored rows become the snapshot's; those that differ, old and new → changed


def mirror_sql(table: Table) -> MirrorSql:
    """Build them from the table's catalogue entry."""
    mirror, changed = f"mirror.{quoted(table.mirror)}", changed_rows(table)
    sent = carried(table)
    sign = quoted(sign_of([column.name for column in sent]))
    columns = ", ".join(f"{quoted(c.name)} {duckdb_type(c)}" for c in sent)
    names = ", ".join(quoted(c.name) for c in sent)
    keys = table.keys
    key_names = ", ".join(quoted(c.name) for c in keys)
    values = ", ".join(f"{_value(c)} as {quoted(c.name)}" for c in sent)
    packed = ", ".join(f"{quoted(c.name)} := {_value(c)}" for c in sent)
    merged_values = ", ".join(f"{_merged(table, c)} as {quoted(c.name)}" for c in sent)
    merged_packed = ", ".join(f"{quoted(c.name)} := {_merged(table, c)}" for c in sent)
    # Of the stored rows only those that are asked for: a join with the whole table would cost what the table holds.
    base = " and ".join(f"b.{quoted(c.name)} = {_value(c, 'i.k')}" for c in keys)
    bases = f"""
        create or replace temporary table bases as
        select m.* from {mirror} m
          semi join (select {", ".join(f"{_value(c, 'i.k')} as {quoted(c.name)}" for c in keys)}
                       from (select from_json_strict(base, {_shape(keys)}) as k from incoming where base is not null) i)
         using ({key_names})
    """
    own = ", ".join(f"{_value(c, 'i.own')} as {quoted(c.name)}" for c in keys)
    same = " and ".join(f"m.{quoted(name)} = s.{quoted(name)}" for name in table.key)
    snapshot = f"temp.{quoted('snapshot.' + table.mirror)}"
    return MirrorSql(
        create=f"create table if not exists {mirror} ({columns})",
        create_changed=f"create or replace temporary table {changed} ({sign} tinyint not null, {columns})",
        stage=f"""
            create or replace temporary table staged as
            select {values} from (select from_json_strict(row, {_shape(sent)}) as x from incoming) i
        """,
        stage_partial=(
            bases,
            f"""
            create or replace temporary table staged as
            select {merged_values}
              from (select row, base,
                           case when base is null then from_json_strict(row, {_shape(sent)}) end as x,
                           from_json_strict(base, {_shape(keys)}) as k
                      from incoming) i
              left join bases b on {base}
            """,
        ),
        stage_keys=f"""
            create or replace temporary table staged as
            select {", ".join(f"{_value(c)} as {quoted(c.name)}" for c in keys)}
              from (select from_json_strict(row, {_shape(keys)}) as x from incoming) i
        """,
        stage_versions=f"""
            create or replace temporary table versions as
            select i.number, i.end_lsn, i.place, make_timestamptz(i.at_us) as "at", {own},
                   case when i.row is not null then struct_pack({packed}) end as new_row
              from (select number, end_lsn, place, at_us, row, from_json_strict(row, {_shape(sent)}) as x,
                           from_json_strict(key, {_shape(keys)}) as own
                      from incoming) i
        """,
        stage_versions_partial=(
            bases,
            f"""
            create or replace temporary table versions as
            select i.number, i.end_lsn, i.place, make_timestamptz(i.at_us) as "at", {own},
                   case when i.row is not null then struct_pack({merged_packed}) end as new_row
              from (select number, end_lsn, place, at_us, row, base,
                           case when base is null then from_json_strict(row, {_shape(sent)}) end as x,
                           from_json_strict(base, {_shape(keys)}) as k,
                           from_json_strict(key, {_shape(keys)}) as own
                      from incoming) i
              left join bases b on {base}
            """,
        ),
        remember_before=f"""
            create or replace temporary table before as
            select m.* from {mirror} m semi join versions v using ({key_names})
        """,
        remember_old=f"""
            insert into {changed} ({sign}, {names})
            select -1, {names} from (select m.* from {mirror} m semi join staged s using ({key_names}))
        """,
        remember_new=f"insert into {changed} ({sign}, {names}) select 1, {names} from staged",
        remember_all=f"insert into {changed} ({sign}, {names}) select -1, {names} from {mirror}",
        delete=f"delete from {mirror} m using staged s where {same}",
        insert=f"insert into {mirror} ({names}) select {names} from staged",
        clear=f"delete from {mirror}",
        create_snapshot=f"create or replace temporary table {snapshot} ({columns})",
        add_to_snapshot=(
            f"delete from {snapshot} m using staged s where {same}",
            f"insert into {snapshot} ({names}) select {names} from staged",
        ),
        apply_snapshot=(
            f"create or replace temporary table gone as select {names} from {mirror} except select {names} from {snapshot}",
            f"create or replace temporary table come as select {names} from {snapshot} except select {names} from {mirror}",
            f"insert into {changed} ({sign}, {names}) select -1, {names} from gone union all select 1, {names} from come",
            f"delete from {mirror} m using gone s where {same}",
            f"insert into {mirror} ({names}) select {names} from come",
            f"drop table {snapshot}",
        ),
    )


def changed_rows(table: Table) -> str:
    """The temporary table of old and new versions of a batch's rows."""
    return f"temp.{quoted('changed.' + table.mirror)}"


def sign_of(columns: Sequence[str]) -> str:
    """The name of its column that tells old (-1) from new (1) ones: one that no column of the table has."""
    name = "sign"
    while name in columns:
        name += "_"
    return name


def carried(table: Table) -> list[Column]:
    """The columns that this store mirrors: generated ones and bit strings have no place in it."""
    return [column for column in table.columns if column.generated is None and encoding_of(column) != "bits"]


def missing_value(column: Column) -> str:
    """As SQL: what rows hold in it that were there when it was added; the text is PostgreSQL's."""
    assert column.missing is not None
    if column.base_type == "bytea":
        return f"unhex({literal(column.missing.removeprefix(chr(92) + 'x'))})"
    return f"try_cast({literal(column.missing)} as {duckdb_type(column)})"


def duckdb_type(column: Column) -> str:
    """The DuckDB type that holds a column's values; text where DuckDB has none."""
    if column.element is not None:
        return f"{_TYPES.get(column.element, 'varchar')}[]"
    if column.base_type == "numeric" and "(" in column.type:
        precision, _, scale = column.type.partition("(")[2].rstrip(")").partition(",")
        if int(precision) <= _MOST_DIGITS and 0 <= int(scale or 0) <= int(precision):
            return f"decimal({precision},{scale or 0})"
    return _TYPES.get(column.base_type, "varchar")


def _merged(table: Table, column: Column) -> str:
    """A column of an incoming row: as sent, or as stored where an update left it out."""
    sent = f"when json_exists(i.row, {_path(column)}) then {_present(column)}"
    return f"case when i.base is null then {_value(column)} {sent} else {_stored(table, column)} end"


def _stored(table: Table, column: Column) -> str:
    stored = f"b.{quoted(column.name)}"
    if column.missing is None:
        return stored
    return f"case when b.{quoted(table.key[0])} is null then {missing_value(column)} else {stored} end"


def _shape(columns: Sequence[Column]) -> str:
    return literal(json.dumps({c.name: _raw(c) for c in columns}))


def _raw(column: Column) -> str:
    # The strict form of from_json(): the other one makes null of what a type cannot hold.
    encoding = encoding_of(column) or "text"
    raw = duckdb_type(column) if encoding == "direct" else _RAW.get(encoding, "varchar")
    return f"{raw}[]" if column.element is not None and not raw.endswith("[]") else raw


def _present(column: Column) -> str:
    # Alone, for the strict form refuses a row that lacks a column of the shape.
    return _value(column, f"(from_json_strict(i.row, {_shape([column])}))")


def _value(column: Column, source: str = "i.x") -> str:
    value = f"{source}.{quoted(column.name)}"
    conversion = _CONVERSIONS.get(encoding_of(column) or "text", "{v}")
    if column.element is None or conversion == "{v}":
        return conversion.format(v=value, type=duckdb_type(column))
    return f"list_transform({value}, lambda e: {conversion.format(v='e')})"


def _path(column: Column) -> str:
    name = column.name.replace('"', '\\"')
    return literal(f'$."{name}"')

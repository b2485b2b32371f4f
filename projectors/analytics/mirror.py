"""The mirror in DuckDB and the SQL that moves one table of it.

Measured rule (notes on DuckDB 2.0): delete by a staged batch, then insert. ON CONFLICT, MERGE and UPDATE rewrite row
groups and grow with the table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from cdc.catalog import Column, Table
from cdc.encoding import encoding_of

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


@dataclass(frozen=True, slots=True)
class MirrorSql:
    """One table's statements. ``incoming`` is a relation with the text columns row and base."""

    create: str
    create_changed: str  #: temporary: old and new versions of the batch's rows
    stage: str  #: incoming → staged, typed and merged with the stored rows
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
    mirror, changed = f"mirror.{quoted(table.name)}", f"temp.{quoted('changed_' + table.name)}"
    columns = ", ".join(f"{quoted(c.name)} {duckdb_type(c)}" for c in table.columns)
    names = ", ".join(quoted(c.name) for c in table.columns)
    keys = [c for c in table.columns if c.name in table.key]
    key_names = ", ".join(quoted(c.name) for c in keys)
    values = ", ".join(
        f"case when i.base is null or json_exists(i.row, {_path(c)}) then {_value(c)} else {_stored(table, c)} end"
        f" as {quoted(c.name)}"
        for c in table.columns
    )
    base = " and ".join(f"b.{quoted(c.name)} = {_value(c, 'k')}" for c in keys)
    same = " and ".join(f"m.{quoted(name)} = s.{quoted(name)}" for name in table.key)
    snapshot = f"temp.{quoted('snapshot_' + table.name)}"
    return MirrorSql(
        create=f"create table if not exists {mirror} ({columns})",
        create_changed=f"create or replace temporary table {changed} ({columns})",
        stage=f"""
            create or replace temporary table staged as
            select {values}
              from (select row, base, from_json(row, {_shape(table.columns)}) as x,
                           from_json(base, {_shape(tuple(keys))}) as k
                      from incoming) i
              left join {mirror} b on {base}
        """,
        stage_keys=f"""
            create or replace temporary table staged as
            select {", ".join(f"{_value(c)} as {quoted(c.name)}" for c in keys)}
              from (select from_json(row, {_shape(tuple(keys))}) as x from incoming) i
        """,
        remember_old=f"insert into {changed} select m.* from {mirror} m semi join staged s using ({key_names})",
        remember_new=f"insert into {changed} select {names} from staged",
        remember_all=f"insert into {changed} select {names} from {mirror}",
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
            f"insert into {changed} select {names} from gone union all select {names} from come",
            f"delete from {mirror} m using gone s where {same}",
            f"insert into {mirror} ({names}) select {names} from come",
            f"drop table {snapshot}",
        ),
    )


def missing_value(column: Column) -> str:
    """As SQL: what rows hold in it that were there when it was added; the text is PostgreSQL's."""
    assert column.missing is not None
    if column.base_type == "bytea":
        return f"unhex({literal(column.missing.removeprefix(chr(92) + 'x'))})"
    return f"try_cast({literal(column.missing)} as {duckdb_type(column)})"


def duckdb_type(column: Column) -> str:
    """The DuckDB type that holds a column's values; text where DuckDB has none."""
    if column.type.endswith("[]"):
        return "varchar[]"
    if column.base_type == "numeric" and "(" in column.type:
        precision = int(column.type.partition("(")[2].partition(",")[0])
        return column.type.replace("numeric", "decimal") if precision <= 38 else "varchar"
    return _TYPES.get(column.base_type, "varchar")


def quoted(name: str) -> str:
    """A name as an identifier; DuckDB's Python client has no composer for these."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal; for names and shapes only, never for rows' values."""
    return "'" + text.replace("'", "''") + "'"


def _stored(table: Table, column: Column) -> str:
    stored = f"b.{quoted(column.name)}"
    if column.missing is None:
        return stored
    return f"case when b.{quoted(table.key[0])} is null then {missing_value(column)} else {stored} end"


def _shape(columns: tuple[Column, ...]) -> str:
    shape = {
        c.name: duckdb_type(c) if encoding_of(c) == "direct" and not _has_zone_mark(c) else _raw(c) for c in columns
    }
    return literal(json.dumps(shape))


def _raw(column: Column) -> str:
    # DuckDB parses decimals from JSON text itself, and faster than by a cast.
    return duckdb_type(column) if encoding_of(column) == "number" else "varchar"


def _value(column: Column, source: str = "x") -> str:
    value = f"i.{source}.{quoted(column.name)}"
    if encoding_of(column) == "hex":
        return f"unhex({value})"
    if encoding_of(column) == "json":
        return f"{value}::json"
    return f"rtrim({value}, 'Z')::{duckdb_type(column)}" if _has_zone_mark(column) else value


def _has_zone_mark(column: Column) -> bool:
    # Debezium's isostring ends dates and zoneless times with a Z that DuckDB does not read.
    return column.base_type in ("date", "time", "timestamp")


def _path(column: Column) -> str:
    name = column.name.replace('"', '\\"')
    return literal(f'$."{name}"')

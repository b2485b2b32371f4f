"""The mirror in DuckDB follows the source's tables: columns come, go and change their names as alteration.py has decided."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from cdc.catalog import Table
from cdc.shapes import Shapes, as_json, from_json
from projectors.alteration import Alteration, Mirrored, Plan, plan
from projectors.analytics.connection import Connection
from projectors.analytics.mirror import carried, duckdb_type, mirror_sql, missing_value, quoted

Columns = list[tuple[str, str]]  # names and types, in order


def follow_source(
    connection: Connection, tables: Iterable[Table], shapes: Shapes, parks: Callable[[str], bool]
) -> Plan:
    """Bring the mirror in line with the source's tables, but for those in doubt."""
    there = _columns(connection)
    made = plan(tables, shapes, remembered(connection), lambda table: _has_columns(there, table), parks)
    for table in made.create:
        connection.execute(mirror_sql(table).create)
    for table, change in made.follow:
        if unreadable := _unreadable(connection, table, change):
            made.doubts[table.qualified] = f"DuckDB cannot read what rows hold in the new column {unreadable}"
            made.remember[table.qualified] = Mirrored(shapes[table.qualified], {})
            continue
        for step in _steps(table, change):
            connection.execute(step)
    for name, known in made.remember.items():
        if name not in made.doubts:
            remember(connection, name, known)
    return made


def make_anew(connection: Connection, table: Table) -> None:
    """Give the mirror the table's present columns; those that keep name and type keep their values, if the key is such."""
    there, mirror = dict(_columns(connection)[table.mirror]), f"mirror.{quoted(table.mirror)}"
    connection.execute(f"create or replace temporary table before as from {mirror}")
    connection.execute(f"drop table {mirror}")
    connection.execute(mirror_sql(table).create)
    kept = [
        c.name
        for c, now in zip(carried(table), _columns(connection)[table.mirror], strict=True)
        if there.get(c.name) == now[1]
    ]
    if set(table.key) <= set(kept):
        names = ", ".join(map(quoted, kept))
        connection.execute(f"insert into {mirror} ({names}) select {names} from before")
    connection.execute("drop table before")


def remembered(connection: Connection) -> dict[str, Mirrored]:
    """What the store remembers, by schema.table."""
    rows = connection.execute('select "table", shape, former, parked from readside.mirrored').fetchall()
    return {name: Mirrored(from_json(shape), json.loads(former), parked) for name, shape, former, parked in rows}


def remember(connection: Connection, name: str, known: Mirrored) -> None:
    """Remember a table's shape in the transaction that gave it to the mirror."""
    former = json.dumps(dict(known.former))
    connection.execute('delete from readside.mirrored where "table" = $name', {"name": name})
    connection.execute(
        'insert into readside.mirrored ("table", shape, former, parked) values ($name, $shape, $former, $parked)',
        {"name": name, "shape": as_json(known.shape), "former": former, "parked": known.parked},
    )


def _unreadable(connection: Connection, table: Table, change: Alteration) -> str | None:
    missing = {column.name: column.missing for column in change.added if column.missing is not None}
    for column in carried(table):
        if column.name in missing:
            value = missing_value(replace(column, missing=missing[column.name]))
            if connection.execute(f"select {value} is null").fetchall() != [(False,)]:
                return column.name
    return None


def _steps(table: Table, change: Alteration) -> Iterable[str]:
    mirror, columns = f"mirror.{quoted(table.mirror)}", {column.name: column for column in carried(table)}
    for name in change.dropped:
        yield f"alter table {mirror} drop column if exists {quoted(name)}"
    for before, now in change.renamed:
        yield f"alter table {mirror} rename column {quoted(before)} to {quoted(now)}"
    for column in change.retyped:
        if column.name not in columns:
            continue
        yield f"alter table {mirror} alter {quoted(column.name)} type {duckdb_type(columns[column.name])}"
    for added in change.added:
        if added.name not in columns:
            continue
        column = replace(columns[added.name], missing=added.missing)
        yield f"alter table {mirror} add column {quoted(column.name)} {duckdb_type(column)}"
        if column.missing is not None:
            yield f"update {mirror} set {quoted(column.name)} = {missing_value(column)}"


def _has_columns(there: Mapping[str, Columns], table: Table) -> bool | None:
    # By name alone: one DuckDB type stands for many of PostgreSQL's.
    names = [name for name, _ in there.get(table.mirror, ())]
    return names == [column.name for column in carried(table)] if names else None


def _columns(connection: Connection) -> dict[str, Columns]:
    """Names and types of the columns of every table of the mirror."""
    tables = connection.execute(
        "select table_name from duckdb_tables() where schema_name = 'mirror' and database_name = current_database() "
        "order by table_name"
    ).fetchall()
    return {name: connection.columns(f"mirror.{quoted(name)}") for (name,) in tables}

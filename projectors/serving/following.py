"""The mirror follows the source's tables: columns come, go and change their names as alteration.py has decided."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

from cdc.catalog import Table
from cdc.shapes import Shapes, as_json, from_json
from projectors.alteration import Alteration, Mirrored, Plan, plan
from projectors.serving.mirror import column_definition, create_mirror, mirror_name, names_list
from projectors.serving.schema import prepare_types

Connection = psycopg.Connection[Any]


def follow_source(
    connection: Connection, tables: Iterable[Table], shapes: Shapes, parks: Callable[[str], bool]
) -> Plan:
    """Bring the mirror in line with the source's tables, but for those in doubt."""
    tables = list(tables)
    prepare_types(connection, tables)
    known, mirrors = remembered(connection), _mirrors(connection)
    made = plan(tables, shapes, known, lambda table: _has_columns(mirrors, table), parks)
    for table in made.create:
        connection.execute(create_mirror(table))
    for table, change in made.follow:
        for step in _steps(table, change):
            connection.execute(step)
    for name, present in made.remember.items():
        if name not in made.doubts and present != known.get(name):
            remember(connection, name, present)
    return made


def make_anew(connection: Connection, table: Table) -> None:
    """Give the mirror the table's present columns; those that keep name and type keep their values, if the key is such."""
    there, old = _mirrors(connection)[table.mirror], Identifier("mirror", f"{table.mirror} before")
    kept = [c.name for c in table.columns if there.get(c.name) == c.type]
    connection.execute(
        SQL("alter table {} rename to {}").format(mirror_name(table), Identifier(f"{table.mirror} before"))
    )
    connection.execute(create_mirror(table))
    if set(table.key) <= set(kept):
        connection.execute(
            SQL("insert into {} ({}) select {} from {} on conflict do nothing").format(
                mirror_name(table), names_list(kept), names_list(kept), old
            )
        )
    connection.execute(SQL("drop table {}").format(old))


def remembered(connection: Connection) -> dict[str, Mirrored]:
    """What the store remembers, by schema.table."""
    rows = connection.execute('select "table", shape::text, former, parked from readside.mirrored').fetchall()
    return {name: Mirrored(from_json(shape), former, parked) for name, shape, former, parked in rows}


def remember(connection: Connection, name: str, known: Mirrored) -> None:
    """Remember a table's shape in the transaction that gave it to the mirror."""
    connection.execute(
        """
        insert into readside.mirrored as m ("table", shape, former, parked)
        values (%(table)s, %(shape)s, %(former)s, %(parked)s)
        on conflict ("table") do update
           set shape = excluded.shape, former = excluded.former, parked = excluded.parked
        """,
        {
            "table": name,
            "shape": as_json(known.shape),
            "former": json.dumps(dict(known.former)),
            "parked": known.parked,
        },
    )


def _steps(table: Table, change: Alteration) -> Iterable[Composed]:
    mirror, columns = mirror_name(table), {column.name: column for column in table.columns}
    for name in change.dropped:
        yield SQL("alter table {} drop column if exists {} cascade").format(mirror, Identifier(name))
    for before, now in change.renamed:
        yield SQL("alter table {} rename column {} to {}").format(mirror, Identifier(before), Identifier(now))
    for column in change.retyped:
        yield SQL("alter table {} alter column {} type {}").format(
            mirror, Identifier(column.name), column_definition(columns[column.name], name=False)
        )
    for column in change.added:
        definition = column_definition(columns[column.name])
        if column.missing is None:
            yield SQL("alter table {} add column {}").format(mirror, definition)
        else:
            # As at the source: the rows that are there get the value without being written.
            yield SQL("alter table {} add column {} default {}").format(mirror, definition, Literal(column.missing))
            yield SQL("alter table {} alter column {} drop default").format(mirror, Identifier(column.name))


def _has_columns(mirrors: Mapping[str, Mapping[str, str]], table: Table) -> bool | None:
    there = mirrors.get(table.mirror, {})
    return list(there.items()) == [(column.name, column.type) for column in table.columns] if there else None


def _mirrors(connection: Connection) -> dict[str, dict[str, str]]:
    """Types by column, in their order, by table."""
    rows = connection.execute(
        """
        select c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)
          from pg_class c
          join pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = 'mirror'::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
         order by c.oid, a.attnum
        """
    ).fetchall()
    mirrors: dict[str, dict[str, str]] = {}
    for table, column, type_name in rows:
        mirrors.setdefault(table, {})[column] = type_name
    return mirrors

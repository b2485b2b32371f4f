"""The captured tables as the source's own catalogue describes them: columns, types, keys, indexes worth mirroring."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import dict_row

from cdc.errors import Fatal


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``type`` as PostgreSQL writes it in DDL, ``base_type`` its name in pg_type without modifiers."""

    name: str
    type: str
    base_type: str
    missing: str | None = None  #: as text: what rows hold in it that were there when it was added; a store remembers it


@dataclass(frozen=True, slots=True)
class Table:
    """One captured table."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]  #: primary key columns in key order
    indexes: tuple[tuple[str, ...], ...]  #: columns of its other plain indexes, those of foreign keys included

    @property
    def qualified(self) -> str:
        """schema.table, as Debezium's envelope and END name it."""
        return f"{self.schema}.{self.name}"


_TABLES = """
    select n.nspname as schema, c.relname as name, c.oid,
           array(
             select jsonb_build_object(
                      'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'base_type', t.typname)
               from pg_attribute a
               join pg_type t on t.oid = a.atttypid
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
              order by a.attnum) as columns,
           array(
             select a.attname::text
               from pg_index i
              cross join lateral unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
               join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
              where i.indrelid = c.oid and i.indisprimary
              order by k.place) as key,
           array(
             select distinct to_jsonb(array(
                      select a.attname::text
                        from unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
                        join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
                       where k.place <= i.indnkeyatts
                       order by k.place))
               from pg_index i
               join pg_class ic on ic.oid = i.indexrelid
               join pg_am am on am.oid = ic.relam
              where i.indrelid = c.oid and not i.indisprimary
                and am.amname = 'btree' and i.indexprs is null and i.indpred is null) as indexes
      from pg_publication_tables p
      join pg_namespace n on n.nspname = p.schemaname
      join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
     where p.pubname = %(publication)s
     order by n.nspname, c.relname
"""


def read_tables(source_dsn: str, publication: str, only: Sequence[str] = ()) -> tuple[Table, ...]:
    """The tables of a publication, in name order; ``only`` narrows them to these schema.table names.

    Raises Fatal when the publication has none of them, or one has no primary key.
    """
    with psycopg.connect(source_dsn) as connection, connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_TABLES, {"publication": publication}).fetchall()
    tables = tuple(
        Table(
            schema=row["schema"],
            name=row["name"],
            columns=tuple(Column(**column) for column in row["columns"]),
            key=tuple(row["key"]),
            indexes=tuple(tuple(index) for index in row["indexes"]),
        )
        for row in rows
        if not only or f"{row['schema']}.{row['name']}" in only
    )
    if missing := set(only) - {table.qualified for table in tables}:
        raise Fatal(
            f"publication {publication} does not hold {', '.join(sorted(missing))}; alter publication … add table"
        )
    if not tables:
        raise Fatal(f"publication {publication} holds no table; run `readside setup`, or create it for your tables")
    if keyless := [table.qualified for table in tables if not table.key]:
        raise Fatal(
            f"{', '.join(keyless)}: no primary key, so updates and deletes cannot be followed; "
            "add a primary key, or leave them out of READSIDE_TABLES and the publication"
        )
    return tables


def topic_of(prefix: str, table: Table) -> str:
    """The topic Debezium writes a table's changes to: characters outside [A-Za-z0-9._-] become an underscore."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{prefix}.{table.schema}.{table.name}")


def topics_of(prefix: str, tables: Sequence[Table]) -> dict[str, Table]:
    """Table by topic. Raises Fatal when two tables' names become one topic."""
    topics: dict[str, Table] = {}
    for table in tables:
        topic = topic_of(prefix, table)
        if topic in topics:
            raise Fatal(f"{table.qualified} and {topics[topic].qualified} share the topic {topic}; rename one of them")
        topics[topic] = table
    return topics


def transaction_topic(prefix: str) -> str:
    """The topic of Debezium's BEGIN and END records."""
    return f"{prefix}.transaction"


def message_topic(prefix: str) -> str:
    """The topic of the canaries: logical messages of ours that Debezium passes on (cdc/canary.py)."""
    return f"{prefix}.message"


def control_topic(prefix: str) -> str:
    """The topic in which readside notes that a snapshot is complete (docs/decisions/0005)."""
    return f"{prefix}.readside"

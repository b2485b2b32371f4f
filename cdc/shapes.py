"""What the source's catalogue knows of a table beyond its columns' names: which column is which, through renames, and what
rows hold in a column that was added after they were written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row

from cdc.catalog import COLUMN_LIST, IS_PUBLISHED


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """One column. ``number`` stays the same when it is renamed or retyped; a column made anew gets another."""

    number: int
    name: str
    type: str  #: with an enum's labels
    missing: str | None = None  #: as text: the value of rows that were there when the column was added
    published: bool = True


@dataclass(frozen=True, slots=True)
class Shape:
    """One table. ``filenode`` changes whenever its rows are rewritten; None when that cannot be told."""

    oid: int
    filenode: int | None
    key: tuple[int, ...]  #: numbers of the columns that identify a row
    columns: tuple[ColumnShape, ...]

    @property
    def meaning(self) -> tuple[Any, ...]:
        """Equal for two shapes exactly when a row image means the same under both."""
        return self.oid, self.key, *((column.number, column.name, column.type) for column in self.published)

    @property
    def published(self) -> tuple[ColumnShape, ...]:
        """The columns that come with the stream."""
        return tuple(column for column in self.columns if column.published)


Shapes = Mapping[str, Shape]  # by schema.table

_SHAPES = f"""
    select n.nspname || '.' || c.relname as table, c.oid::bigint as oid,
           case when c.relkind = 'r' then pg_relation_filenode(c.oid)::bigint end as filenode,
           array(
             select k.attnum
               from pg_index i
              cross join lateral unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
              where i.indrelid = c.oid and k.place <= i.indnkeyatts
                and case when c.relreplident = 'i' then i.indisreplident else i.indisprimary end
              order by k.place) as key,
           array(
             select jsonb_build_object(
                      'number', a.attnum, 'name', a.attname,
                      'type', format_type(a.atttypid, a.atttypmod) || coalesce(
                        (select ' ' || json_agg(e.enumlabel order by e.enumsortorder)
                           from pg_enum e
                          where e.enumtypid = a.atttypid), ''),
                      'missing', case when a.atthasmissing then (a.attmissingval::text::text[])[1] end,
                      'published', {IS_PUBLISHED})
               from pg_attribute a
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
              order by a.attnum) as columns
      from pg_publication_tables p
      join pg_namespace n on n.nspname = p.schemaname
      join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
     {COLUMN_LIST}
     where p.pubname = %(publication)s
"""  # noqa: S608 - of constants


def read_shapes(source_dsn: str, publication: str, only: Iterable[str] = ()) -> dict[str, Shape]:
    """The shapes of a publication's tables by schema.table; ``only`` narrows them to these."""
    # Values as text are read back by other servers: written in the one form that all of them read.
    options = "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1 -c bytea_output=hex"
    with (
        psycopg.connect(source_dsn, options=options) as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        rows = cursor.execute(_SHAPES, {"publication": publication}).fetchall()
    wanted = frozenset(only)
    return {row.pop("table"): msgspec.convert(row, Shape) for row in rows if not wanted or row["table"] in wanted}


def as_json(shape: Shape) -> str:
    """A shape as a store keeps it."""
    return msgspec.json.encode(shape).decode()


def from_json(text: str) -> Shape:
    """The reverse of ``as_json``."""
    return msgspec.json.decode(text, type=Shape)


def fingerprint(shapes: Shapes) -> str:
    """Changes exactly when a table comes, goes, or changes its meaning."""
    meanings = sorted((table, shape.meaning) for table, shape in shapes.items())
    return hashlib.sha256(msgspec.json.encode(meanings)).hexdigest()[:16]

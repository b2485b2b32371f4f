"""The columns of the serving store's declared tables, as its catalogue has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

from cdc.errors import Fatal
from projectors.rollup import Rollup
from projectors.serving.rollup import Measures


class DeclaredColumn(NamedTuple):
    """A column of a declared table."""

    name: str
    type: str  #: as pg_type names it, without modifiers
    modifier: int  #: -1 for none


def declared_columns(connection: psycopg.Connection[Any]) -> Mapping[str, Sequence[DeclaredColumn]]:
    """By reference (SCHEMA.TABLE), the columns of every declared table in their order."""
    rows = connection.execute(
        """
        select n.nspname || '.' || c.relname, a.attname::text, t.typname::text, a.atttypmod
          from pg_namespace n
          join pg_class c on c.relnamespace = n.oid and c.relkind = 'r'
          join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          join pg_type t on t.oid = a.atttypid
         where n.nspname in ('read_models', 'rollups', 'history')
         order by c.oid, a.attnum
        """
    ).fetchall()
    columns: dict[str, list[DeclaredColumn]] = {}
    for reference, *column in rows:
        columns.setdefault(reference, []).append(DeclaredColumn(*column))
    return columns


def measures_of(rollup: Rollup, columns: Sequence[DeclaredColumn]) -> Measures:
    """The measures of a rollup's table. Raises Fatal for one that would not be exact."""
    columns = [column for column in columns if column.name not in rollup.key]
    for name, base_type, modifier in columns:
        if base_type not in ("int2", "int4", "int8", "numeric"):
            raise Fatal(
                f"rollup {rollup.name}: measure {name} is {base_type}, and such sums do not come back to what they were "
                f"when a row leaves; sum whole numbers or numeric, as in sum(x::numeric) as {name}"
            )
        if modifier != -1:
            raise Fatal(
                f"rollup {rollup.name}: measure {name} is rounded after it is summed, which does not add up; "
                f"round each row instead, as in sum(x::numeric(12, 2)) as {name}"
            )
    if not columns:
        raise Fatal(f"rollup {rollup.name} measures nothing; select count(*) or a sum beside its key")
    numeric = tuple(name for name, base_type, _ in columns if base_type == "numeric")
    return Measures(tuple(name for name, base_type, _ in columns if base_type != "numeric"), numeric)

"""The tables that can be asked, with their columns and comments, as the store itself describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from stack.errors import StackError
from stack.sql.asking import Freshness, Store
from stack.sql.visible import visible

_ASKED = """
    select t.name, t.comment, c.column_name, c.data_type, c.comment
      from (select table_name as name, comment from duckdb_tables()
             where database_name = current_database() and schema_name = 'main' and not internal
            union all
            select view_name, comment from duckdb_views()
             where database_name = current_database() and schema_name = 'main' and not internal) t
      join duckdb_columns() c
        on c.database_name = current_database() and c.schema_name = 'main' and c.table_name = t.name
     order by t.name, c.column_index
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    type: str
    comment: str | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view, with its columns in their order."""

    name: str
    comment: str | None
    columns: list[Column] = field(default_factory=list[Column])


@dataclass(frozen=True, slots=True)
class Catalog:
    """The tables and views of schema main, by name."""

    tables: Mapping[str, Table]
    freshness: Freshness

    def table(self, name: str) -> Table:
        """A table by its name, whatever its case. Raises StackError, with the nearest name."""
        wanted = name.strip().rstrip(";").strip('"').casefold()
        named = {table.casefold(): table for table in self.tables}
        if wanted in named:
            return self.tables[named[wanted]]
        near = get_close_matches(wanted, named, n=1)
        hint = f"did you mean {named[near[0]]}?" if near else "`\\d` lists them"
        raise StackError(f"there is no table {visible(name)}; {hint}")


EMPTY = Catalog({}, Freshness(as_of=None, lag_ms=None))


def fetch(store: Store) -> Catalog:
    """Ask the store for its tables. Raises StackError."""
    answer = store.rows(_ASKED)
    tables: dict[str, Table] = {}
    for name, comment, column, kind, column_comment in answer.rows:
        table = tables.setdefault(name, Table(name, comment))
        table.columns.append(Column(column, kind, column_comment))
    return Catalog(tables, answer.freshness)


def described(catalog: Catalog, name: str | None) -> tuple[list[str], list[list[str]]]:
    """What ``\\d`` shows, a head and lines: the tables, or the columns of one. Raises StackError."""
    if name:
        return ["column", "type", "comment"], [
            [visible(column.name), visible(column.type), visible(column.comment or "")]
            for column in catalog.table(name).columns
        ]
    return ["table", "columns", "comment"], [
        [visible(table.name), str(len(table.columns)), visible(table.comment or "")]
        for table in catalog.tables.values()
    ]

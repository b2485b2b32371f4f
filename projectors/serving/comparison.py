"""Two versions of a read model compared row by row, as they stand at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.sql import SQL, Composable, Identifier, Literal

Connection = psycopg.Connection[Any]

SHOWN = 10  # differing keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A row that is not the same in both."""

    key: tuple[str, ...]
    kind: str  #: added, removed or changed
    columns: tuple[str, ...]  #: those that differ, of a changed row


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What differs between the version that serves (old) and another one (new)."""

    model: str
    rows_old: int
    rows_new: int
    #: Count by kind: added, removed, changed. None when the versions have different keys: then rows cannot be matched.
    kinds: Mapping[str, int] | None
    #: How many of the changed rows differ in which column.
    columns: Mapping[str, int]
    #: Columns that only one of them has.
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    first: tuple[Difference, ...]

    @property
    def same(self) -> bool:
        """Whether both hold the same."""
        return self.kinds is not None and not any(self.kinds.values()) and not self.only_old and not self.only_new


def compare(connection: Connection, model: str, old: str, new: str, key: Sequence[str]) -> Comparison:
    """Compare the tables ``old`` and ``new`` of read_models; ``key``: of the new one. One statement, one snapshot."""
    left, right = _types(connection, old), _types(connection, new)
    only_old = tuple(name for name in left if name not in right)
    only_new = tuple(name for name in right if name not in left)
    if _key(connection, old) != tuple(key) or _key(connection, new) != tuple(key):
        row = connection.execute(
            SQL("select (select count(*) from {}), (select count(*) from {})").format(_table(old), _table(new))
        ).fetchone()
        assert row is not None
        return Comparison(
            model=model,
            rows_old=row[0],
            rows_new=row[1],
            kinds=None,
            columns={},
            only_old=only_old,
            only_new=only_new,
            first=(),
        )
    both = [name for name in right if name in left and name not in key]
    flags = SQL(", ").join(SQL("{} as {}").format(_differs(name, left, right), Identifier(name)) for name in both)
    statement = SQL("""
        with pair as materialized (
            select {keys}, case when o.{first} is null then 'added' when n.{first} is null then 'removed' end as "kind?"
                   {flags}
              from {old} o full join {new} n using ({key})),
             difference as materialized (
                select {key_texts} as "key?", coalesce("kind?", 'changed') as "kind?",
                       case when "kind?" is null then array_remove(array[{named}]::text[], null)
                            else '{{}}' end as "columns?"
                  from pair
                 where "kind?" is not null or {any})
        select (select count(*) from {old}), (select count(*) from {new}),
               (select coalesce(jsonb_object_agg("kind?", n), '{{}}')
                  from (select "kind?", count(*) as n from difference group by 1) k),
               (select coalesce(jsonb_object_agg(name, n), '{{}}')
                  from (select name, count(*) as n from difference, unnest("columns?") name group by 1) c),
               array(select jsonb_build_array("key?", "kind?", "columns?") from difference order by "key?" limit {shown})
    """).format(
        keys=SQL(", ").join(SQL("{0} as {0}").format(Identifier(name)) for name in key),
        key=SQL(", ").join(map(Identifier, key)),
        key_texts=SQL("array[{}]").format(SQL(", ").join(SQL("{}::text").format(Identifier(name)) for name in key)),
        first=Identifier(key[0]),
        flags=SQL(", {}").format(flags) if both else SQL(""),
        named=SQL(", ").join(SQL("case when {} then {} end").format(Identifier(name), Literal(name)) for name in both),
        any=SQL(" or ").join(map(Identifier, both)) if both else SQL("false"),
        old=_table(old),
        new=_table(new),
        shown=Literal(SHOWN),
    )
    row = connection.execute(statement).fetchone()
    assert row is not None
    rows_old, rows_new, kinds, columns, first = row
    return Comparison(
        model=model,
        rows_old=rows_old,
        rows_new=rows_new,
        kinds={kind: kinds.get(kind, 0) for kind in ("added", "removed", "changed")},
        columns=dict(sorted(columns.items(), key=lambda of: (-of[1], of[0]))),
        only_old=only_old,
        only_new=only_new,
        first=tuple(Difference(key=tuple(k), kind=kind, columns=tuple(names)) for k, kind, names in first),
    )


def _table(name: str) -> Identifier:
    return Identifier("read_models", name)


def _differs(name: str, left: Mapping[str, str], right: Mapping[str, str]) -> Composable:
    # As they are stored, which is also for types without an equality; where the types differ, as they are shown.
    form = (
        SQL("row({})::record *<> row({})::record")
        if left[name] == right[name]
        else SQL("{}::text is distinct from {}::text")
    )
    return form.format(Identifier("o", name), Identifier("n", name))


def _types(connection: Connection, name: str) -> dict[str, str]:
    return dict(
        connection.execute(
            """
            select attname::text, format_type(atttypid, null)
              from pg_attribute
             where attrelid = to_regclass(%(name)s) and attnum > 0 and not attisdropped
             order by attnum
            """,
            {"name": f"read_models.{name}"},
        ).fetchall()
    )


def _key(connection: Connection, name: str) -> tuple[str, ...]:
    rows = connection.execute(
        """
        select a.attname::text
          from pg_index i
         cross join unnest(i.indkey::int[]) with ordinality as k(number, place)
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
         where i.indrelid = to_regclass(%(name)s) and i.indisprimary
         order by k.place
        """,
        {"name": f"read_models.{name}"},
    ).fetchall()
    return tuple(column for (column,) in rows)

"""The SQL of a rollup: its table, its rows counted from nothing, and what a batch's changed rows add to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg.sql import SQL, Composable, Composed, Identifier

from projectors.rollup import Rollup
from projectors.serving.mirror import names_list, same
from projectors.serving.refresh import describe, settle
from projectors.serving.relation import Relation


@dataclass(frozen=True, slots=True)
class Measures:
    """A rollup's columns outside its key."""

    whole: tuple[str, ...]
    numeric: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.whole, *self.numeric)


def create_rollup(rollup: Rollup, rows: Composed) -> Composed:
    """The rollup's table, empty, with the types that its query gives over such rows; the engine's own checks come after."""
    name = _name(rollup)
    # Half-empty pages: the row of a busy group is rewritten with every batch, and stays on its page.
    create = SQL("create table {} with (fillfactor = 50) as select * from ({}) q with no data").format(
        name, _over(rollup, rows)
    )
    return SQL("; ").join([create, *describe(name, rollup.indexes, rollup.comment)])


def key_rollup(rollup: Rollup) -> Composed:
    """Makes the key the table's primary key."""
    return SQL("alter table {} add primary key ({})").format(_name(rollup), names_list(rollup.key))


def build_rollup_statement(rollup: Rollup, measures: Measures, source: Relation) -> Composed:
    """Count every group from nothing."""
    prelude = SQL("""
        fresh as materialized (
            select * from ({counted}) counted where {some}),
        affected as materialized (
            select {key} from {target} union select {key} from fresh)
    """).format(
        counted=_counted(rollup, measures, source.rows()),
        some=_some(measures.names),
        key=names_list(rollup.key),
        target=_name(rollup),
    )
    return settle(_name(rollup), rollup.key, (*rollup.key, *measures.names), prelude, None)


def rollup_statement(rollup: Rollup, measures: Measures, source: Relation, into: Relation | None) -> Composed:
    """Add what the changed rows of ``source`` say; old and new rows of the rollup go to ``into``, if given."""
    odd = SQL(" or ").join(
        SQL("d.{} in ('NaN', 'Infinity', '-Infinity')").format(Identifier(name)) for name in measures.numeric
    )
    prelude = SQL("""
        delta as materialized (
            select {key}, {sums}
              from ({old} union all {new}) versions
             group by {key}
            having {some_sum}),
        affected as materialized (select {key} from delta),
        {again}
        fresh as materialized (
            select * from (
                select {d_key}, {totals}
                  from delta d
                  left join {target} t on {same_t}
                  {join_again}) total
             where {some})
    """).format(
        key=names_list(rollup.key),
        sums=_each(SQL("sum({0}) as {0}"), measures.names),
        old=_counted(rollup, measures, source.versions(-1), less=True),
        new=_counted(rollup, measures, source.versions(1)),
        some_sum=SQL(" or ").join(SQL("sum({}) <> 0").format(Identifier(name)) for name in measures.names),
        again=_again(rollup, measures, source, odd) if measures.numeric else SQL(""),
        d_key=_each(SQL("d.{0}"), rollup.key),
        totals=_totals(measures, odd),
        target=_name(rollup),
        same_t=same(rollup.key, "t", "d"),
        join_again=SQL("left join again g on {}").format(same(rollup.key, "g", "d")) if measures.numeric else SQL(""),
        some=_some(measures.names),
    )
    return settle(_name(rollup), rollup.key, (*rollup.key, *measures.names), prelude, into)


def _again(rollup: Rollup, measures: Measures, source: Relation, odd: Composed) -> Composed:
    # What is not a number, or infinite, cannot be subtracted again: such a group is counted from nothing. The first
    # condition keeps PostgreSQL from looking at the relation at all when there is none.
    return SQL("""
        again as materialized (
            select *
              from ({counted}) counted
             where (select bool_or({odd}) from delta d)
               and ({key}) in (select {key} from delta d where {odd})),
    """).format(counted=_counted(rollup, measures, source.rows()), odd=odd, key=names_list(rollup.key))


def _totals(measures: Measures, odd: Composed) -> Composed:
    if not measures.numeric:
        return _each(SQL("coalesce(t.{0}, 0) + d.{0} as {0}"), measures.names)
    whole = [
        SQL("case when {1} then g.{0} else coalesce(t.{0}, 0) + d.{0} end as {0}").format(Identifier(name), odd)
        for name in measures.whole
    ]
    # A sum's trailing zeros would tell of rows that are there no more.
    numeric = [
        SQL("trim_scale(case when {1} then g.{0} else coalesce(t.{0}, 0) + d.{0} end) as {0}").format(
            Identifier(name), odd
        )
        for name in measures.numeric
    ]
    return SQL(", ").join([*whole, *numeric])


def _counted(rollup: Rollup, measures: Measures, rows: Composed, *, less: bool = False) -> Composed:
    """The query over some rows: no null in a key, none in a measure; negative for versions that were left."""
    sign = SQL("-") if less else SQL("")
    parts: list[Composable] = [
        *map(Identifier, rollup.key),
        *(SQL("{1}coalesce({0}, 0) as {0}").format(Identifier(name), sign) for name in measures.whole),
        *(SQL("{1}trim_scale(coalesce({0}, 0)) as {0}").format(Identifier(name), sign) for name in measures.numeric),
    ]
    return SQL("select {} from ({}) q where {}").format(
        SQL(", ").join(parts),
        _over(rollup, rows),
        SQL(" and ").join(SQL("{} is not null").format(Identifier(name)) for name in rollup.key),
    )


def _over(rollup: Rollup, rows: Composed) -> Composed:
    return SQL("with changed as ({}) select * from ({}\n) q").format(rows, SQL(rollup.query))


def _each(template: SQL, names: Iterable[str]) -> Composed:
    return SQL(", ").join(template.format(Identifier(name)) for name in names)


def _some(names: Sequence[str]) -> Composed:
    return SQL(" or ").join(SQL("{} <> 0").format(Identifier(name)) for name in names)


def _name(rollup: Rollup) -> Identifier:
    return Identifier("rollups", rollup.name)

"""The SQL that keeps a declared table of the analytics store equal to its query: for what a batch touched, or for all.

Each function gives statements to be run one after the other. Rows are deleted and inserted, never updated: an update
rewrites row groups, and its cost grows with the table (notes on DuckDB 2.0).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from projectors.analytics.mirror import quoted
from projectors.analytics.relation import Relation
from projectors.read_model import ReadModel
from projectors.rollup import Rollup


def refresh_model(model: ReadModel, into: Relation, changed: Iterable[Relation], *, captured: bool) -> Iterable[str]:
    """Recompute the keys that the changed rows of some relations touch.

    Where others take in the model's own changes (``captured``), its old and new rows go to ``into.changed``.
    """
    rows = {relation.reference: relation.versions() for relation in changed}
    yield from _recompute(model, into, rows, captured=captured)


def build_model(model: ReadModel, into: Relation, relations: Mapping[str, Relation]) -> Iterable[str]:
    """Compute every row anew."""
    yield f"delete from {into.stored}"
    yield from _recompute(model, into, {name: relations[name].rows for name in model.affected_by}, captured=False)


def _recompute(model: ReadModel, into: Relation, rows: Mapping[str, str], *, captured: bool) -> Iterable[str]:
    keys = " union all ".join(
        f"select * from (with changed as ({rows[name]}) {keys})"
        for name, keys in model.affected_by.items()
        if name in rows
    )
    yield f"create or replace temporary table affected as select distinct * from ({keys}) as keys({_list(model.key)})"
    yield f"create or replace temporary table fresh as {model.query}"
    yield from _settle(into, model.key, "affected", captured=captured)


def create_rollup(rollup: Rollup, source: Relation) -> str:
    """The rollup's table, empty, with the types that its query gives."""
    return f"create table rollups.{quoted(rollup.name)} as select * from ({_over(rollup, source.none)}) limit 0"


def refresh_rollup(rollup: Rollup, into: Relation, source: Relation, *, captured: bool) -> Iterable[str]:
    """Add what the changed rows of ``source`` say."""
    measures = _measures(rollup, into)
    sums = ", ".join(f"sum({name}) as {name}" for name in measures)
    yield f"""
        create or replace temporary table delta as
        select {_list(rollup.key)}, {sums}
          from ({_counted(rollup, measures, source.versions(-1), "-")}
                 union all
                {_counted(rollup, measures, source.versions(1))})
         group by all
        having {" or ".join(f"sum({name}) <> 0" for name in measures)}
    """
    totals = ", ".join(f"coalesce(t.{name}, 0) + d.{name} as {name}" for name in measures)
    yield f"""
        create or replace temporary table fresh as
        select * from (
            select {", ".join(f"d.{quoted(name)}" for name in rollup.key)}, {totals}
              from delta d
              left join {into.stored} t on {_same(rollup.key, "t", "d")})
         where {_some(measures)}
    """
    yield from _settle(into, rollup.key, "delta", captured=captured)


def build_rollup(rollup: Rollup, into: Relation, source: Relation) -> Iterable[str]:
    """Count every group from nothing; in the order of the key, as they come when time leads it: a range lies together."""
    measures = _measures(rollup, into)
    yield f"delete from {into.stored}"
    yield (
        f"insert into {into.stored} ({_list([*rollup.key, *_names(rollup, into)])}) "
        f"select * from ({_counted(rollup, measures, source.rows)}) where {_some(measures)} order by {_list(rollup.key)}"
    )


def _settle(into: Relation, key: Sequence[str], affected: str, *, captured: bool) -> Iterable[str]:
    """Make a table hold, of the keys in ``affected``, just the rows in ``fresh``."""
    same = _same(key, "t", "a")
    if captured:
        yield f"""
            create or replace temporary table {into.changed} as
            select -1 as {into.sign}, t.* from {into.stored} t semi join {affected} a on {same}
        """
        yield f"insert into {into.changed} ({into.sign}, {into.names}) select 1, {into.names} from fresh"
    yield f"delete from {into.stored} t using {affected} a where {same}"
    yield f"insert into {into.stored} ({into.names}) select {into.names} from fresh"


def _counted(rollup: Rollup, measures: Sequence[str], rows: str, sign: str = "") -> str:
    """The query over some rows: no null in a key, none in a measure."""
    counted = ", ".join(f"{sign}coalesce({name}, 0) as {name}" for name in measures)
    some = " and ".join(f"{quoted(name)} is not null" for name in rollup.key)
    return f"select {_list(rollup.key)}, {counted} from ({_over(rollup, rows)}) where {some}"


def _over(rollup: Rollup, rows: str) -> str:
    return f"with changed as ({rows}) {rollup.query}"


def _names(rollup: Rollup, into: Relation) -> list[str]:
    return [name for name in into.columns if name not in rollup.key]


def _measures(rollup: Rollup, into: Relation) -> list[str]:
    return [quoted(name) for name in _names(rollup, into)]


def _some(measures: Sequence[str]) -> str:
    return " or ".join(f"{name} <> 0" for name in measures)


def _same(key: Sequence[str], one: str, other: str) -> str:
    return " and ".join(f"{one}.{quoted(name)} = {other}.{quoted(name)}" for name in key)


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))

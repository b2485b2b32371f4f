"""Keeps a declared table of the analytics store equal to its query: for what a batch touched, or for all.

Rows are deleted and inserted, never updated: an update rewrites row groups, and its cost grows with the table (notes on
DuckDB 2.0). Many keys are recomputed some at a time: several joins over all of a large table would not fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from projectors.analytics.connection import Connection
from projectors.analytics.mirror import quoted, sign_of
from projectors.analytics.relation import Relation
from projectors.read_model import ReadModel
from projectors.rollup import Rollup

_MOST_KEYS = 500_000  # recomputed at a time


def refresh_model(
    connection: Connection,
    model: ReadModel,
    into: Relation,
    changed: Iterable[Relation],
    *,
    captured: bool,
    noting: Callable[[int], Sequence[str]],
) -> bool:
    """Recompute the keys that the changed rows of some relations touch; False when they touch none.

    Where others take in the model's own changes (``captured``), its old and new rows go to ``into.changed``. ``noting``: by
    the number of the keys, what else to run on ``affected``, which holds some or all of them.
    """
    rows = {relation.reference: relation.versions() for relation in changed}
    return _recompute(connection, model, into, rows, captured=captured, noting=noting)


def build_model(connection: Connection, model: ReadModel, into: Relation, relations: Mapping[str, Relation]) -> None:
    """Compute every row anew."""
    connection.execute(f"delete from {into.stored}")
    _recompute(connection, model, into, {name: relations[name].rows for name in model.affected_by}, captured=False)


def _recompute(
    connection: Connection,
    model: ReadModel,
    into: Relation,
    rows: Mapping[str, str],
    *,
    captured: bool,
    noting: Callable[[int], Sequence[str]] = lambda _count: (),
) -> bool:
    keys = " union all ".join(
        f"select * from (with changed as ({rows[name]}) {keys})"
        for name, keys in model.affected_by.items()
        if name in rows
    )
    names = _list(model.key)
    count = _made(connection, "affected", f"select distinct * from ({keys}) as keys({names})")
    number = quoted(sign_of(model.key))
    if count > _MOST_KEYS:
        # In the order of the key, which is about that of time: whoever looks for a range of it reads few blocks. By a number
        # of their own, for a row that is not committed has no rowid of its place.
        _made(connection, "keys", f"select {names}, row_number() over (order by {names}) as {number} from affected")
    noted = noting(count)
    for first in range(0, count, _MOST_KEYS):
        if count > _MOST_KEYS:
            some = f"{number} > {first} and {number} <= {first + _MOST_KEYS}"
            _made(connection, "affected", f"select {names} from keys where {some}")
        kept = [_remember(into, model.key, "affected", first=first == 0)] if captured else []
        connection.execute_all(_make("fresh", model.query), *kept, *_settle(into, model.key, "affected"), *noted)
    return count > 0


def _made(connection: Connection, name: str, query: str) -> int:
    """How many rows the temporary table has that was made."""
    return connection.execute(_make(name, query)).fetchall()[0][0]


def _make(name: str, query: str) -> str:
    return f"create or replace temporary table {name} as {query}"


def create_rollup(rollup: Rollup, source: Relation) -> str:
    """The rollup's table, empty, with the types that its query gives."""
    return f"create table rollups.{quoted(rollup.name)} as select * from ({_over(rollup, source.none)}) limit 0"


def refresh_rollup(connection: Connection, rollup: Rollup, into: Relation, source: Relation, *, captured: bool) -> bool:
    """Add what the changed rows of ``source`` say; False when that is nothing, as for most changes of a status."""
    measures = _measures(rollup, into)
    sums = ", ".join(f"sum({name}) as {name}" for name in measures)
    moved = _made(
        connection,
        "delta",
        f"""
        select {_list(rollup.key)}, {sums}
          from ({_counted(rollup, measures, source.versions(-1), "-")}
                 union all
                {_counted(rollup, measures, source.versions(1))})
         group by all
        having {" or ".join(f"sum({name}) <> 0" for name in measures)}
        """,
    )
    if not moved:
        return False
    totals = ", ".join(f"coalesce(t.{name}, 0) + d.{name} as {name}" for name in measures)
    fresh = _make(
        "fresh",
        f"""
        select * from (
            select {", ".join(f"d.{quoted(name)}" for name in rollup.key)}, {totals}
              from delta d
              left join {into.stored} t on {_same(rollup.key, "t", "d")})
         where {_some(measures)}
        """,
    )
    kept = [_remember(into, rollup.key, "delta", first=True)] if captured else []
    connection.execute_all(fresh, *kept, *_settle(into, rollup.key, "delta"))
    return True


def build_rollup(connection: Connection, rollup: Rollup, into: Relation, source: Relation) -> None:
    """Count every group from nothing; in the order of the key, as they come when time leads it: a range lies together."""
    measures = _measures(rollup, into)
    connection.execute(f"delete from {into.stored}")
    connection.execute(
        f"insert into {into.stored} ({_list([*rollup.key, *_names(rollup, into)])}) "
        f"select * from ({_counted(rollup, measures, source.rows)}) where {_some(measures)} order by {_list(rollup.key)}"
    )


def _remember(into: Relation, key: Sequence[str], affected: str, *, first: bool) -> str:
    """Note the old and the new rows of the keys in ``affected``, the ``first`` of a batch or more of them."""
    same = _same(key, "t", "a")
    rows = f"""
        select -1 as {into.sign}, {into.names} from (select t.* from {into.stored} t semi join {affected} a on {same})
         union all
        select 1, {into.names} from fresh where {_known(key)}
    """
    return _make(into.changed, rows) if first else f"insert into {into.changed} ({into.sign}, {into.names}) {rows}"


def _settle(into: Relation, key: Sequence[str], affected: str) -> Sequence[str]:
    """Make a table hold, of the keys in ``affected``, just the rows in ``fresh``."""
    return (
        f"delete from {into.stored} t using {affected} a where {_same(key, 't', 'a')}",
        # A row without a key would be there for ever: null equals nothing, and it would not be found to be replaced.
        f"insert into {into.stored} ({into.names}) select {into.names} from fresh where {_known(key)}",
    )


def _counted(rollup: Rollup, measures: Sequence[str], rows: str, sign: str = "") -> str:
    """The query over some rows: no null in a key, none in a measure."""
    counted = ", ".join(f"{sign}coalesce({name}, 0) as {name}" for name in measures)
    return f"select {_list(rollup.key)}, {counted} from ({_over(rollup, rows)}) where {_known(rollup.key)}"


def _over(rollup: Rollup, rows: str) -> str:
    return f"with changed as ({rows}) {rollup.query}"


def _names(rollup: Rollup, into: Relation) -> list[str]:
    return [name for name in into.columns if name not in rollup.key]


def _measures(rollup: Rollup, into: Relation) -> list[str]:
    return [quoted(name) for name in _names(rollup, into)]


def _some(measures: Sequence[str]) -> str:
    return " or ".join(f"{name} <> 0" for name in measures)


def _known(key: Sequence[str]) -> str:
    return " and ".join(f"{quoted(name)} is not null" for name in key)


def _same(key: Sequence[str], one: str, other: str) -> str:
    return " and ".join(f"{one}.{quoted(name)} = {other}.{quoted(name)}" for name in key)


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))

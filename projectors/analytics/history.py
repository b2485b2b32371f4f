"""The SQL that appends to a history in DuckDB: what a batch's versions mean, and what a snapshot's rows do."""

from __future__ import annotations

from collections.abc import Sequence

from cdc.catalog import Table
from projectors.analytics.mirror import carried, quoted
from projectors.checkpoint import Checkpoint
from projectors.read_model import History


def history_of_versions(history: History, columns: Sequence[str], table: Table) -> str:
    """Append what the staged ``versions`` mean; ``before`` holds what was stored before the first."""
    keys = ", ".join(f"v.{quoted(name)}" for name in table.key)
    same = " and ".join(f"m.{quoted(name)} = v.{quoted(name)}" for name in table.key)
    return _append(
        history,
        columns,
        f"""
        select v.end_lsn, v.place, v."at",
               case when lag(v.number) over w is not null then lag(v.new_row) over w
                    when m.{quoted(table.key[0])} is not null then {_packed(table, "m")} end as old,
               v.new_row as new
          from versions v
          left join before m on {same}
        window w as (partition by {keys} order by v.number)
        """,
    )


def history_of_snapshot(history: History, columns: Sequence[str], table: Table, at: Checkpoint) -> str:
    """Append what the mirror's rows mean: each came into being at the snapshot's position."""
    return _append(
        history,
        columns,
        f"""
        select {_position(at)}, case when false then {_packed(table, "m")} end as old, {_packed(table, "m")} as new
          from mirror.{quoted(table.mirror)} m
        """,
    )


def history_of_difference(history: History, columns: Sequence[str], table: Table, at: Checkpoint) -> str:
    """Append what a later snapshot's differing rows, ``gone`` and ``come``, mean: all at its position."""
    first = quoted(table.key[0])
    same = " and ".join(f"g.{quoted(name)} = c.{quoted(name)}" for name in table.key)
    return _append(
        history,
        columns,
        f"""
        select {_position(at)},
               case when g.{first} is not null then {_packed(table, "g")} end as old,
               case when c.{first} is not null then {_packed(table, "c")} end as new
          from gone g
          full join come c on {same}
        """,
    )


def _append(history: History, columns: Sequence[str], transition: str) -> str:
    names = ", ".join(map(quoted, columns))
    return (
        f"insert into main.{quoted(history.name)} ({names}) "
        f"select {names} from (with transition as ({transition}) {history.query})"
    )


def _packed(table: Table, alias: str) -> str:
    # Field by field: two tables of the same columns may have them in another order.
    fields = ", ".join(f"{quoted(c.name)} := {alias}.{quoted(c.name)}" for c in carried(table))
    return f"struct_pack({fields})"


def _position(at: Checkpoint) -> str:
    moment = "null" if at.committed_us is None else f"{at.committed_us:d}::bigint"
    return f'{at.end_lsn:d}::ubigint as end_lsn, row_number() over () as place, make_timestamptz({moment}) as "at"'

"""The SQL that keeps a declared table equal to its query: for the keys a batch touched, or for all of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import LiteralString

from psycopg.sql import SQL, Composed, Identifier

from cdc.catalog import Table
from cdc.errors import Fatal
from projectors.read_model import History, ReadModel
from projectors.serving.mirror import changed_name, key_values, merged_rows, mirror_name, names_list, same


def create_read_model(model: ReadModel) -> Composed:
    """The model's table and indexes, empty."""
    return _create(Identifier("read_models", model.name), model.columns, model.indexes, model.comment)


def create_history(history: History) -> Composed:
    """The history's table and indexes, empty."""
    return _create(Identifier("history", history.name), history.columns, history.indexes, history.comment)


def refresh_statement(model: ReadModel, columns: Sequence[str], changed: Collection[Table]) -> Composed:
    """Recompute the keys that the rows in changed_T touch, for the tables ``changed``; equal rows stay untouched."""
    return _refresh(model, columns, {table: changed_name(table) for table in changed})


def build_statement(model: ReadModel, columns: Sequence[str], tables: Mapping[str, Table]) -> Composed:
    """Compute every row anew, as if every source row had changed."""
    sources = {tables[name]: mirror_name(tables[name]) for name in model.affected_by}
    return _refresh(model, columns, sources)


def history_statement(history: History, columns: Sequence[str], table: Table) -> Composed:
    """Append what a batch's changes of ``table`` mean. Takes ``rows``: objects {key, base, row, end_lsn, place, at_us}."""
    versions = merged_rows(
        table,
        SQL("""
            select e.number, e.value->>'key' as key,
                   (e.value->>'end_lsn')::pg_lsn as end_lsn, (e.value->>'place')::bigint as place,
                   timestamptz 'epoch' + (e.value->>'at_us')::bigint * interval '1 microsecond' as at,
                   case when e.value->>'row' is not null then {row} end as new
            {source}
        """),
    )
    return SQL("""
        with version as materialized ({versions}),
             transition as (
                select v.end_lsn, v.place, v.at,
                       case when lag(v.number) over same is null
                            then (select m from {mirror} m where {stored})
                            else lag(v.new) over same end as old,
                       v.new
                  from version v
                  left join lateral {key} k on true
                window same as (partition by v.key order by v.number))
        insert into {history} ({columns})
        select {columns} from ({query}) happened
    """).format(
        versions=versions,
        mirror=mirror_name(table),
        stored=same(table.key, "m", "k"),
        key=key_values(table),
        history=Identifier("history", history.name),
        columns=names_list(columns),
        query=_with_parameters(history.query),
    )


def history_of_snapshot(history: History, columns: Sequence[str], table: Table) -> Composed:
    """Append what a snapshot's rows mean: each came into being at the snapshot's position. Takes ``end_lsn`` and ``at``."""
    return SQL("""
        with transition as (
            select %(end_lsn)s::pg_lsn as end_lsn, row_number() over () as place, %(at)s::timestamptz as at,
                   null::{mirror} as old, m as new
              from {mirror} m)
        insert into {history} ({columns})
        select {columns} from ({query}) happened
    """).format(
        mirror=mirror_name(table),
        history=Identifier("history", history.name),
        columns=names_list(columns),
        query=_with_parameters(history.query),
    )


def _refresh(model: ReadModel, columns: Sequence[str], sources: Mapping[Table, Identifier]) -> Composed:
    target = Identifier("read_models", model.name)
    keys = [
        SQL("select * from (with changed as (select * from {}) {}) keys").format(
            source, SQL(model.affected_by[_declared(model, table)])
        )
        for table, source in sources.items()
    ]
    rest = [name for name in columns if name not in model.key]
    update = SQL("update set {} where ({}) is distinct from ({})").format(
        SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(name)) for name in rest),
        SQL(", ").join(SQL("t.{}").format(Identifier(name)) for name in rest),
        SQL(", ").join(SQL("excluded.{}").format(Identifier(name)) for name in rest),
    )
    return SQL("""
        with affected ({key}) as materialized (select distinct * from ({keys}) keys),
             fresh as materialized ({query}),
             gone as (
                delete from {target} t
                 using affected a
                 where {same_affected} and not exists (select from fresh f where {same_fresh}))
        insert into {target} as t ({columns})
        select {columns} from fresh
        on conflict ({key}) do {action}
    """).format(
        key=names_list(model.key),
        keys=SQL("\n union all \n").join(keys),
        query=SQL(model.query),
        target=target,
        same_affected=same(model.key, "t", "a"),
        same_fresh=same(model.key, "f", "t"),
        columns=names_list(columns),
        action=update if rest else SQL("nothing"),
    )


def _with_parameters(query: LiteralString) -> SQL:
    # The statement around it takes parameters, so a per cent sign of the author's must be doubled for psycopg.
    return SQL(query.replace("%", "%%"))


def _declared(model: ReadModel, table: Table) -> LiteralString:
    for name in model.affected_by:
        if name == table.mirror:
            return name
    raise Fatal(f"{model.name} is not affected by {table.qualified}")


def _create(name: Identifier, columns: LiteralString, indexes: Sequence[LiteralString], comment: str) -> Composed:
    create = SQL("create table {} ({})").format(name, SQL(columns))
    parts = [SQL("create index on {} {}").format(name, SQL(_index(index))) for index in indexes]
    return SQL("; ").join([create, *parts, SQL("comment on table {} is {}").format(name, comment)])


def _index(text: LiteralString) -> LiteralString:
    return text if re.match(r"using\b|\(", text) else f"({text})"

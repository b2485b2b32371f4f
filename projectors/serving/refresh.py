"""The SQL that keeps a declared table equal to its query: for the keys a batch touched, or for all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import LiteralString

from psycopg.sql import SQL, Composed, Identifier

from cdc.catalog import Table
from projectors.batch import Version
from projectors.checkpoint import lsn_text
from projectors.read_model import History, ReadModel
from projectors.serving.mirror import key_values, merged_rows, mirror_name, names_list, same
from projectors.serving.relation import Relation


def create_read_model(model: ReadModel) -> Composed:
    """The model's table and indexes, empty."""
    name = Identifier("read_models", model.name)
    return _create(name, model.columns, model.indexes, model.comment, model.storage)


def create_history(history: History) -> Composed:
    """The history's table and indexes, empty."""
    return _create(Identifier("history", history.name), history.columns, history.indexes, history.comment)


def refresh_statement(
    model: ReadModel, columns: Sequence[str], changed: Iterable[Relation], into: Relation | None
) -> Composed:
    """Recompute the keys that the changed rows of some relations touch; equal rows stay untouched.

    The old and new rows are added to the changed rows of ``into``, which is the model itself, for those who take them in.
    """
    copied = {embed.of: embed.key for embed in model.embeds.values()}
    rows = {
        one.reference: _come_and_gone(one, copied[one.reference]) if one.reference in copied else one.versions()
        for one in changed
    }
    keys = [_keys(model, name, rows[name]) for name in model.affected_by if name in rows]
    return settle(Identifier("read_models", model.name), model.key, columns, _affected(model, keys), into)


def _come_and_gone(relation: Relation, key: str) -> Composed:
    """The versions of rows that have come or gone; those that were updated are told to the model by copy_statement."""
    return SQL("{versions} where {key} in (select {key} from {changed} group by {key} having sum({sign}) <> 0)").format(
        versions=relation.versions(), key=Identifier(key), changed=relation.changed, sign=relation.sign
    )


def copy_statement(
    model: ReadModel, column: LiteralString, source: Relation, columns: Sequence[str], into: Relation | None
) -> Composed:
    """Copy an embedded column from the rows that a batch changed to all that repeat them; equal ones stay untouched.

    The rows copied to are added to the changed rows of ``into``, which is the model itself, as new ones.
    """
    embed = model.embeds[column]
    copy = SQL("""
        update {target} t
           set {column} = c.{value}
          from {changed} c
         where c.{sign} = 1 and t.{by} = c.{key} and t.{column}::text is distinct from c.{value}::text
    """).format(
        target=Identifier("read_models", model.name),
        column=Identifier(column),
        value=Identifier(embed.column),
        changed=source.changed,
        sign=source.sign,
        by=Identifier(embed.by),
        key=Identifier(embed.key),
    )
    if into is None:
        return copy
    return SQL("with copied as ({} returning t.*) insert into {} ({}, {}) select 1, {} from copied").format(
        copy, into.changed, into.sign, names_list(columns), names_list(columns)
    )


def build_statement(model: ReadModel, columns: Sequence[str], relations: Mapping[str, Relation]) -> Composed:
    """Compute every row anew, as if every row of every source had changed, and every row of the model."""
    target = Identifier("read_models", model.name)
    keys = [_keys(model, name, relations[name].rows()) for name in model.affected_by]
    stored = SQL("select {} from {}").format(names_list(model.key), target)
    return settle(target, model.key, columns, _affected(model, [*keys, stored]), None)


def keys_statement(model: ReadModel, relations: Mapping[str, Relation], keys: Identifier) -> list[Composed]:
    """Makes the table of every key there is now, numbered in the key's order."""
    all_keys = SQL("\n union all \n").join(_keys(model, name, relations[name].rows()) for name in model.affected_by)
    return [
        SQL("drop table if exists {}").format(keys),
        SQL("""
            create table {} as
            select row_number() over (order by {key}) as number, {key}
              from (select distinct * from ({all_keys}) keys) distinct_keys({key})
        """).format(keys, key=names_list(model.key), all_keys=all_keys),
        SQL("alter table {} add primary key (number)").format(keys),
        SQL("analyze {}").format(keys),
    ]


def slice_statement(model: ReadModel, columns: Sequence[str], keys: Identifier) -> Composed:
    """Compute the rows of the keys numbered above ``after`` up to ``to``, in a table that is kept up as it is filled.

    A row that is there already was computed by a batch since, and whatever changed it after that computed it again: it is
    left alone. So is the lack of one.
    """
    return SQL("""
        insert into {target} ({columns})
        with affected as materialized (select {key} from {keys} where number > %(after)s and number <= %(to)s)
        select {columns} from ({query}
        ) fresh
         order by {key}
        on conflict ({key}) do nothing
    """).format(
        target=Identifier("read_models", model.name),
        columns=names_list(columns),
        key=names_list(model.key),
        keys=keys,
        query=_with_parameters(model.query),
    )


def settle(
    target: Identifier, key: Sequence[str], columns: Sequence[str], prelude: Composed, into: Relation | None
) -> Composed:
    """Make a table hold, of the keys in ``affected``, just the rows in ``fresh``; the prelude defines both after WITH.

    Rows are compared as they are stored, byte for byte: 1.0 and 1.00 are equal, and whoever reads them sees two.
    """
    update = SQL("update set {} where row({})::record *<> row({})::record").format(
        *(
            SQL(", ").join(template.format(Identifier(name)) for name in columns)
            for template in (SQL("{0} = excluded.{0}"), SQL("t.{}"), SQL("excluded.{}"))
        )
    )
    # Set difference, not an anti-join: with joins planned for few rows that would compare every key with every other.
    template = SQL("""
        with {prelude},
             lost as (select {key} from affected except select {key} from fresh),
             gone as (delete from {target} t using lost a where {same} returning t.*)
    """)
    # In the key's order: rows lying in the order of one hash table take the next one quadratic time to read in.
    write = SQL("""
        insert into {target} as t ({columns})
        select {columns} from fresh order by {key}
        on conflict ({key}) do {action}
    """)
    keep = SQL("""
             , written as ({write} returning t.*)
        insert into {changed} ({sign}, {columns})
        select -1, {columns} from gone
         union all
        select -1, {stored} from {target} t join written a on {same}
         union all
        select 1, {columns} from written
    """)
    names = {"target": target, "key": names_list(key), "columns": names_list(columns), "same": same(key, "t", "a")}
    written = write.format(**names, action=update)
    if into is not None:
        stored = SQL(", ").join(Identifier("t", name) for name in columns)
        written = keep.format(**names, write=written, stored=stored, changed=into.changed, sign=into.sign)
    return SQL("{}{}").format(template.format(**names, prelude=prelude), written)


def history_statement(history: History, columns: Sequence[str], table: Table) -> Composed:
    """Append what a batch's changes of ``table`` mean. Takes ``rows``: objects {key, base, row, end_lsn, place, at_us}."""
    versions = merged_rows(
        table,
        SQL("""
            select e.number, e.key, e.end_lsn, e.place,
                   timestamptz 'epoch' + e.at_us * interval '1 microsecond' as at,
                   case when e.row is not null then {row} end as new
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


def _affected(model: ReadModel, keys: Sequence[Composed]) -> Composed:
    return SQL("""
        affected ({key}) as materialized (select distinct * from ({keys}) keys),
        fresh as materialized ({query})
    """).format(key=names_list(model.key), keys=SQL("\n union all \n").join(keys), query=SQL(model.query))


def _keys(model: ReadModel, name: LiteralString, rows: Composed) -> Composed:
    return SQL("select * from (with changed as ({}) select * from ({}\n) k) keys").format(
        rows, SQL(model.affected_by[name])
    )


def _with_parameters(query: LiteralString) -> SQL:
    # The statement around it takes parameters, so a per cent sign of the author's must be doubled for psycopg.
    return SQL(query.replace("%", "%%"))


def _create(
    name: Identifier,
    columns: LiteralString,
    indexes: Sequence[LiteralString],
    comment: str,
    storage: LiteralString = "",
) -> Composed:
    stored = SQL(" with ({})").format(SQL(storage)) if storage else SQL("")
    create = SQL("create table {} ({}){}").format(name, SQL(columns), stored)
    return SQL("; ").join([create, *describe(name, indexes, comment)])


def describe(name: Identifier, indexes: Sequence[LiteralString], comment: str) -> list[Composed]:
    """A declared table's indexes and comment."""
    parts = [create_index(name, index) for index in indexes]
    return [*parts, SQL("comment on table {} is {}").format(name, comment)]


def create_index(table: Identifier, index: LiteralString, *, concurrently: bool = False) -> Composed:
    """Makes one; ``concurrently``: while the table is written to, and outside a transaction."""
    how = SQL("concurrently ") if concurrently else SQL("")
    return SQL("create index {}on {} {}").format(how, table, SQL(index_of(index)))


def index_of(text: LiteralString) -> LiteralString:
    """What stands after CREATE INDEX ON t."""
    return text if re.match(r"using\b|\(", text) else f"({text})"


def history_row(version: Version) -> bytes:
    """A version as history_statement takes it, JSON."""
    row = version.row
    return b'{"key":%b,"base":%b,"row":%b,"end_lsn":"%b","place":%d,"at_us":%d}' % (
        version.key,
        (row.base if row else None) or b"null",
        row.columns if row else b"null",
        lsn_text(version.end_lsn).encode(),
        version.place,
        version.committed_us,
    )

"""A later snapshot against the mirror: staged beside it, then applied as the inserts, updates and deletes that it means.

Rows are compared as they are stored, byte for byte: types without an equality operator compare as well, and numbers that
are equal but written with another scale differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.sql import SQL, Composed, Identifier

from cdc.catalog import Table
from projectors.read_model import History
from projectors.serving.mirror import mirror_name, names_list, same, staged_name
from projectors.serving.relation import relation_of


@dataclass(frozen=True, slots=True)
class DifferenceStatements:
    """The statements for one table, to be executed in this order; between the first two the snapshot is staged."""

    create: Composed
    analyze: Composed
    delete_gone: Composed  #: rows of the mirror that the snapshot lacks, old versions into changed_T
    forget_equal: Composed  #: staged rows that the mirror holds already
    analyze_changed: Composed


def difference_statements(table: Table) -> DifferenceStatements:
    """Build them from the table's catalogue entry."""
    mirror, staged, changed = mirror_name(table), staged_name(table), relation_of(table).changed
    columns = names_list([column.name for column in table.columns])
    return DifferenceStatements(
        create=SQL("create temporary table {} (like {} including generated, primary key ({})) on commit drop").format(
            staged, mirror, names_list(table.key)
        ),
        analyze=SQL("analyze {}").format(staged),
        delete_gone=SQL("""
            with gone as (
                delete from {mirror} m
                 where not exists (select from {staged} s where {same})
                returning m.*)
            insert into {changed} ({sign}, {columns})
            select -1, {columns} from gone
        """).format(
            mirror=mirror,
            staged=staged,
            same=same(table.key, "s", "m"),
            changed=changed,
            sign=relation_of(table).sign,
            columns=columns,
        ),
        forget_equal=SQL("delete from {} s using {} m where {} and s *= m").format(
            staged, mirror, same(table.key, "s", "m")
        ),
        analyze_changed=SQL("analyze {}").format(changed),
    )


def history_of_difference(history: History, columns: Sequence[str], table: Table) -> Composed:
    """Append what a later snapshot's differing rows mean, all at its position. Takes ``end_lsn`` and ``at``."""
    return SQL("""
        with transition as (
            select %(end_lsn)s::pg_lsn as end_lsn, row_number() over () as place, %(at)s::timestamptz as at,
                   m as old, case when {s_key} is not null then row({staged_columns})::{mirror} end as new
              from {mirror} m
              full join {staged} s on {same}
             where {m_key} is null or {s_key} is null or s *<> m)
        insert into {history} ({columns})
        select {columns} from ({query}) happened
    """).format(
        m_key=Identifier("m", table.key[0]),
        s_key=Identifier("s", table.key[0]),
        staged_columns=SQL(", ").join(Identifier("s", column.name) for column in table.columns),
        mirror=mirror_name(table),
        staged=staged_name(table),
        same=same(table.key, "s", "m"),
        history=Identifier("history", history.name),
        columns=names_list(columns),
        query=SQL(history.query.replace("%", "%%")),  # the statement around it takes parameters
    )

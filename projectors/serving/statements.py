"""Every statement of the serving store, rendered once for one set of tables and declarations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg.sql import SQL, Composed

from cdc.catalog import Table
from projectors.read_model import Declarations, History, ReadModel
from projectors.rollup import Rollup
from projectors.serving.columns import declared_columns, measures_of
from projectors.serving.difference import DifferenceStatements, difference_statements, history_of_difference
from projectors.serving.mirror import MirrorStatements, mirror_statements
from projectors.serving.pushes import push_statement, watched_references
from projectors.serving.refresh import (
    build_statement,
    copy_statement,
    history_of_snapshot,
    history_statement,
    refresh_statement,
)
from projectors.serving.relation import Relation, declared_relation, relation_of
from projectors.serving.rollup import build_rollup_statement, rollup_statement

MOVE = """
    with moved as (
        update readside.checkpoint
           set phase = %(phase)s, end_lsn = %(end_lsn)s::pg_lsn, committed_at = %(committed_at)s,
               applied_at = clock_timestamp(), changes = %(changes)s, rate = %(rate)s, state = %(state)s::jsonb
         where store = %(store)s
        returning end_lsn)
    select pg_notify('readside_checkpoint', end_lsn::text || %(named)s) from moved
"""

REMEMBER = """
    insert into readside.recent_transactions (xid, end_lsn)
    select * from unnest(%(xids)s::bigint[], %(lsns)s::pg_lsn[])
    on conflict (xid) do update set end_lsn = excluded.end_lsn, applied_at = excluded.applied_at
"""

PRUNE = "delete from readside.recent_transactions where applied_at < now() - interval '1 minute'"

REQUIRE_EPOCH = "select readside.require_epoch(%(store)s, %(epoch)s)"

T = TypeVar("T")


class _OnDemand(Mapping[str, T]):
    """By schema.table, made when first asked for: a projector that starts needs those of the next change alone."""

    def __init__(self, tables: Sequence[Table], make: Callable[[Table], T]) -> None:
        self._tables = {table.qualified: table for table in tables}
        self._make = make
        self._made: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if (made := self._made.get(name)) is None:
            made = self._made[name] = self._make(self._tables[name])
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


class Statements:
    """Rendered on first use: a read model has one refresh statement for each set of tables that changed together."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        tables: Sequence[Table],
        declarations: Declarations,
        watched: Collection[str] = frozenset(),
    ) -> None:
        """``tables`` must hold every table that ``declarations`` read. The declared tables must exist.

        ``watched``: read models of which the changed rows are kept for the length of a batch although none reads them.
        """
        self._connection = connection
        self._by_name: Mapping[str, Table] = {table.mirror: table for table in tables}
        self.mirror: Mapping[str, MirrorStatements] = _OnDemand(tables, mirror_statements)
        self.difference: Mapping[str, DifferenceStatements] = _OnDemand(tables, difference_statements)
        self._declarations = declarations
        self._cache: dict[tuple[str, ...], bytes] = {}
        columns = declared_columns(connection)
        self._columns = {
            name: [column.name for column in columns[reference]]
            for name, reference in (
                *((one.name, one.reference) for one in declarations.maintained),
                *((history.name, f"history.{history.name}") for history in declarations.histories),
            )
        }
        self._measures = {
            rollup.name: measures_of(rollup, columns[rollup.reference]) for rollup in declarations.rollups
        }
        self.maintained = declarations.maintained
        self.relations: Mapping[str, Relation] = {table.mirror: relation_of(table) for table in tables} | {
            one.reference: declared_relation(one.reference, self._columns[one.name]) for one in self.maintained
        }
        self._captured = declarations.captured | (watched_references(watched) & self.relations.keys())

    def render(self, key: tuple[str, ...], make: Callable[[], Composed]) -> bytes:
        """The statement under ``key``, made when it is not there yet."""
        if key not in self._cache:
            self._cache[key] = make().as_bytes(self._connection)
        return self._cache[key]

    @property
    def kept(self) -> frozenset[str]:
        """The relations that have a temporary table of changed rows."""
        return self._captured | self._by_name.keys()

    def columns(self, declared: ReadModel | Rollup) -> Sequence[str]:
        """The columns of a declared table."""
        return self._columns[declared.name]

    def create_changed(self) -> Composed:
        """Makes the temporary tables of changed rows."""
        return SQL("; ").join(self.relations[name].create_changed() for name in sorted(self.kept))

    def drop_changed(self) -> Composed:
        """Drops them."""
        return SQL("; ").join(
            SQL("drop table if exists {}").format(self.relations[n].changed) for n in sorted(self.kept)
        )

    def refresh(self, declared: ReadModel | Rollup, changed: Collection[str]) -> bytes:
        """See refresh_statement and rollup_statement."""
        touched = sorted(declared.sources.intersection(changed))
        key = ("refresh", declared.name, *touched)
        into = self._into(declared)
        if isinstance(declared, Rollup):
            measures, source = self._measures[declared.name], self.relations[declared.of]
            return self.render(key, lambda: rollup_statement(declared, measures, source, into))
        sources = [self.relations[name] for name in touched]
        return self.render(key, lambda: refresh_statement(declared, self._columns[declared.name], sources, into))

    def copies(self, declared: ReadModel | Rollup, changed: Collection[str]) -> Iterator[bytes]:
        """See copy_statement: for each column that repeats one of the changed relations."""
        if isinstance(declared, ReadModel):
            for column, embed in declared.embeds.items():
                if embed.of in changed:
                    source, columns = self.relations[embed.of], self._columns[declared.name]
                    yield self.render(
                        ("copy", declared.name, column),
                        partial(copy_statement, declared, column, source, columns, self._into(declared)),
                    )

    def push(self, model: ReadModel) -> bytes:
        """See push_statement."""
        return self.render(("push", model.name), lambda: push_statement(model, self.relations[model.reference]))

    def _into(self, declared: ReadModel | Rollup) -> Relation | None:
        return self.relations[declared.reference] if declared.reference in self._captured else None

    def build(self, declared: ReadModel | Rollup) -> bytes:
        """See build_statement and build_rollup_statement."""
        key = ("build", declared.name)
        if isinstance(declared, Rollup):
            measures, source = self._measures[declared.name], self.relations[declared.of]
            return self.render(key, lambda: build_rollup_statement(declared, measures, source))
        return self.render(key, lambda: build_statement(declared, self._columns[declared.name], self.relations))

    def history(self, history: History) -> bytes:
        """See history_statement."""
        table = self._by_name[history.of]
        return self.render(
            ("history", history.name), lambda: history_statement(history, self._columns[history.name], table)
        )

    def history_of_snapshot(self, history: History) -> bytes:
        """See history_of_snapshot in refresh.py."""
        table = self._by_name[history.of]
        return self.render(
            ("loaded", history.name), lambda: history_of_snapshot(history, self._columns[history.name], table)
        )

    def history_of_difference(self, history: History) -> bytes:
        """See history_of_difference in difference.py."""
        table = self._by_name[history.of]
        return self.render(
            ("differs", history.name), lambda: history_of_difference(history, self._columns[history.name], table)
        )

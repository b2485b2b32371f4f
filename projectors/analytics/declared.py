"""The tables of rollups and read models in DuckDB: made, described, and tried on a mirror that has changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache

import duckdb

from cdc.catalog import Table
from cdc.errors import Fatal
from projectors.analytics.connection import Connection
from projectors.analytics.history import history_of_snapshot
from projectors.analytics.mirror import literal, mirror_sql, quoted
from projectors.analytics.quiet import Quiet
from projectors.analytics.refresh import create_rollup
from projectors.analytics.relation import Relation, declared_relation, relation_of
from projectors.checkpoint import START
from projectors.read_model import Declarations, History, ReadModel
from projectors.rollup import Rollup

#: DuckDB's types whose sums come back to what they were when a row leaves.
_EXACT = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DECIMAL")


def make_history(connection: Connection, history: History, *, anew: bool) -> None:
    """Make its table, empty. Raises Fatal for one that was recorded in another form (``anew``)."""
    if anew:
        raise Fatal(
            f"history {history.name} is declared otherwise than it was recorded, and the mirror cannot tell what happened; "
            "give the new form another name, or begin with an empty data directory"
        )
    name = f"main.{quoted(history.name)}"
    connection.execute(f"create or replace table {name} ({history.columns})")
    connection.execute(f"comment on table {name} is {literal(history.comment)}")


def columns_of(connection: Connection, declared: ReadModel | Rollup | History) -> list[str]:
    """The columns of its table."""
    return [name for name, _ in _columns(connection, declared)]


def make(connection: Connection, declared: ReadModel | Rollup, relations: Mapping[str, Relation]) -> None:
    """Make its table, empty, in place of an earlier one. Raises Fatal for a rollup that would not be exact."""
    if isinstance(declared, Rollup):
        connection.execute("create schema if not exists rollups")
        name = f"rollups.{quoted(declared.name)}"
        connection.execute(f"drop table if exists {name}")
        connection.execute(create_rollup(declared, relations[declared.of]))
        _require_exact(connection, declared)
    else:
        name = f"main.{quoted(declared.name)}"
        connection.execute(f"drop table if exists {name}")
        connection.execute(f"create table {name} ({declared.columns})")
    connection.execute(f"comment on table {name} is {literal(declared.comment)}")


def stored_relation(connection: Connection, declared: ReadModel | Rollup) -> Relation:
    """Its table as a relation."""
    return declared_relation(declared, columns_of(connection, declared))


def broken(declarations: Declarations, tables: Iterable[Table], sound: Collection[str]) -> dict[str, str]:
    """Why each of these cannot be computed on such a mirror, but for the ``sound`` ones."""
    why = _why_each(_Mirrored(tuple(tables), tuple(declarations.fingerprints().items()), declarations))
    return {name: reason for name, reason in why.items() if name not in sound}


@dataclass(frozen=True, slots=True)
class _Mirrored:
    tables: tuple[Table, ...]
    fingerprints: tuple[tuple[str, str], ...]
    declarations: Declarations = field(compare=False)  #: which the fingerprints stand for


# Asked at every opening of a store, and a projector opens it again whenever something was not there.
@lru_cache(maxsize=2)
def _why_each(mirrored: _Mirrored) -> Mapping[str, str]:
    """Asked of a database of its own: an error in the store's would end the transaction that asks."""
    declarations, found = mirrored.declarations, dict[str, str]()
    with closing(Connection(duckdb.connect(config={"threads": "1"}), Quiet())) as scratch:
        scratch.execute("create schema mirror")
        relations: dict[str, Relation] = {}
        by_name = {table.mirror: table for table in mirrored.tables}
        for table in by_name.values():
            scratch.execute(mirror_sql(table).create)
            relations[table.mirror] = relation_of(table)
        for history in declarations.histories:
            why = _why_history_broken(scratch, history, by_name[history.of])
            if why is not None:
                found[history.name] = why
        for declared in declarations.maintained:
            if any(name not in relations for name in declared.reads):
                continue  # what it reads is broken, which is said of that
            why = _why_broken(scratch, declared, relations)
            if why is not None:
                found[declared.name] = why
            else:
                relations[declared.reference] = stored_relation(scratch, declared)
    return found


def _why_history_broken(connection: Connection, history: History, table: Table) -> str | None:
    try:
        make_history(connection, history, anew=False)
        connection.execute(f"explain {history_of_snapshot(history, columns_of(connection, history), table, START)}")
    except duckdb.BinderException as exc:
        return str(exc).partition(chr(10))[0]
    return None


def _why_broken(connection: Connection, declared: ReadModel | Rollup, relations: Mapping[str, Relation]) -> str | None:
    # Binding is enough to see a column that is not there any more; nothing is read.
    try:
        make(connection, declared, relations)
        if isinstance(declared, ReadModel):
            for source, keys in declared.affected_by.items():
                connection.execute(f"explain with changed as ({relations[source].rows}) {keys}")
            names = ", ".join(f"null as {quoted(name)}" for name in declared.key)
            connection.execute(f"explain with affected as (select {names}) {declared.query}")
    except duckdb.BinderException as exc:
        return str(exc).partition(chr(10))[0]
    return None


def _require_exact(connection: Connection, rollup: Rollup) -> None:
    measures = [(name, kind) for name, kind in _columns(connection, rollup) if name not in rollup.key]
    if not measures:
        raise Fatal(f"rollup {rollup.name} measures nothing; select count(*) or a sum beside its key")
    for name, kind in measures:
        if not kind.startswith(_EXACT):
            raise Fatal(
                f"rollup {rollup.name}: measure {name} is {kind}, and such sums do not come back to what they were when "
                f"a row leaves; sum whole numbers or decimals"
            )


def _columns(connection: Connection, declared: ReadModel | Rollup | History) -> list[tuple[str, str]]:
    return connection.columns(f"{'rollups' if isinstance(declared, Rollup) else 'main'}.{quoted(declared.name)}")

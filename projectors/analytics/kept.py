"""What the analytics store keeps up: the tables that its read models read, and these, less what is parked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import duckdb

from cdc.catalog import Table
from cdc.shapes import Shapes
from projectors.alteration import Plan, require_tables, with_missing
from projectors.analytics.following import follow_source, make_anew, remember, remembered
from projectors.analytics.mirror import literal, mirror_sql, quoted
from projectors.parking import behind, parked_with, without
from projectors.read_model import Declarations, ReadModel

logger = logging.getLogger(__name__)

Connection = duckdb.DuckDBPyConnection


class Kept:
    """Changes with the source: ``follow`` and then ``park`` say what is kept up from there on."""

    def __init__(
        self, tables: Sequence[Table], declarations: Declarations, shapes: Shapes, parks: Callable[[str], bool]
    ) -> None:
        """See AnalyticsStore."""
        self.tables = {t.qualified: t for t in tables if t.mirror in declarations.tables}  #: by schema.table
        self.models = declarations.read_models
        self.columns: dict[str, list[str]] = {}  #: by read model
        self.plan = Plan()
        self.stale: frozenset[str] = frozenset()  #: read models that were parked and have fallen behind
        self.parked: dict[str, str] = {}  #: read models that stand still, and why
        self.incomplete: dict[str, str] = {}  #: read models of which rows may be behind, and why
        self.dead_letters = 0
        self._declarations = declarations
        self._shapes = shapes
        self._parks = parks

    def follow(self, connection: Connection) -> None:
        """Bring the mirror in line with the source's tables."""
        tables = list(self.tables.values())
        require_tables(self._declarations.tables, tables, remembered(connection))
        self.plan = follow_source(connection, tables, self._shapes, self._parks)
        for name, why in self.plan.parked.items():
            logger.warning("table parked", extra={"action": "table_parked", "table": name, "reason": why})
        self.tables = {
            table.qualified: with_missing(table, self.plan.remember[table.qualified])
            for table in tables
            if table.qualified not in self.plan.parked
        }

    def make_doubtful_anew(self, connection: Connection) -> frozenset[str]:
        """Give the mirrors of tables in doubt the source's columns, for a snapshot to fill; returns the tables' names."""
        doubtful = [self.tables[name] for name in self.plan.doubts]
        for table in doubtful:
            make_anew(connection, table)
            remember(connection, table.qualified, self.plan.remember[table.qualified])
        self.plan.doubts.clear()
        return frozenset(table.mirror for table in doubtful)

    def prepare_models(self, connection: Connection) -> frozenset[str]:
        """Make the read models that are missing or were built from another declaration; returns their names: now empty."""
        built = dict(connection.execute("select name, fingerprint from readside.declared").fetchall())
        made = [model for model in self.models if built.get(model.name) != model.fingerprint]
        for model in made:
            name = quoted(model.name)
            connection.execute(f"drop table if exists main.{name}")
            connection.execute(f"create table main.{name} ({model.columns})")
            connection.execute(f"comment on table main.{name} is {literal(model.comment)}")
            connection.execute("delete from readside.declared where name = $name", {"name": model.name})
            connection.execute(
                "insert into readside.declared (name, fingerprint) values ($name, $fingerprint)",
                {"name": model.name, "fingerprint": model.fingerprint},
            )
        self.columns = {
            model.name: [
                row[0]
                for row in connection.execute(
                    "select column_name from duckdb_columns() where schema_name = 'main' and table_name = $name "
                    "order by column_index",
                    {"name": model.name},
                ).fetchall()
            ]
            for model in self.models
        }
        return frozenset(model.name for model in made)

    def park(self, connection: Connection, made: Collection[str] = ()) -> None:
        """Leave read models as they stand that read what is parked, or that cannot be computed on the mirror any more.

        One that was just ``made`` from a new declaration fails for all to see instead.
        """
        tables = {name.partition(".")[2]: why for name, why in self.plan.parked.items()}
        parked = parked_with(self._declarations, tables)
        if not self.plan.doubts:  # the mirror would not be what they will read
            models = [m for m in self._declarations.read_models if m.name not in parked and m.name not in made]
            parked |= _broken(models, self.tables.values())
        before = connection.execute("select name from readside.declared where parked is not null").fetchall()
        self.stale = frozenset(name for (name,) in before if name not in parked)
        connection.execute("update readside.declared set parked = null")
        for name, why in parked.items():
            logger.warning("read model parked", extra={"action": "model_parked", "model": name, "reason": why})
            connection.execute(
                "update readside.declared set parked = $why where name = $name", {"name": name, "why": why}
            )
        self.models = without(self._declarations, parked).read_models
        self.parked = parked

    def count_letters(self, by_table: Mapping[str, int]) -> None:
        """So many changes are parked, by schema.table."""
        self.dead_letters = sum(by_table.values())
        counts = behind(self._declarations, {table.partition(".")[2]: count for table, count in by_table.items()})
        told = {name: f"{count} dead letters" for name, count in counts.items()}
        self.incomplete = told | {name: f"parked: {why}" for name, why in self.parked.items()}


def _broken(models: Sequence[ReadModel], tables: Iterable[Table]) -> dict[str, str]:
    """Why each of these cannot be computed on such a mirror; asked of a database of its own, for an error in the store's
    would end the transaction that asks."""
    broken: dict[str, str] = {}
    with duckdb.connect() as scratch:
        scratch.execute("create schema mirror")
        for table in tables:
            scratch.execute(mirror_sql(table).create)
        for model in models:
            broken |= _why_broken(scratch, model)
    return broken


def _why_broken(connection: Connection, model: ReadModel) -> dict[str, str]:
    # Binding is enough to see a column that is not there any more; nothing is read.
    try:
        for table, keys in model.affected_by.items():
            connection.execute(f"explain with changed as (from mirror.{quoted(table)}) {keys}")
        names = ", ".join(f"null as {quoted(name)}" for name in model.key)
        connection.execute(f"explain with affected as (select {names}) {model.query}")
    except duckdb.BinderException as exc:
        return {model.name: str(exc).partition(chr(10))[0]}
    return {}

"""What the analytics store keeps up: the tables that its declarations read, and theirs, less what is parked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from cdc.catalog import Table
from cdc.shapes import Shapes
from projectors.alteration import Plan, require_tables, with_missing
from projectors.analytics.connection import Connection
from projectors.analytics.declared import broken, columns_of, make, make_history, stored_relation
from projectors.analytics.following import follow_source, make_anew, remember, remembered
from projectors.analytics.noted import drop_undeclared, fingerprints, note
from projectors.analytics.relation import Relation, relation_of
from projectors.analytics.unpublished import Unpublished
from projectors.parking import behind, parked_with, readers, waiting, without
from projectors.read_model import Declarations, History
from projectors.rollup import Rollup

logger = logging.getLogger(__name__)


class Kept:
    """Changes with the source: ``follow`` and then ``park`` say what is kept up from there on."""

    def __init__(
        self,
        tables: Sequence[Table],
        declarations: Declarations,
        shapes: Shapes,
        parks: Callable[[str], bool],
        unpublished: Unpublished,
    ) -> None:
        """See AnalyticsStore."""
        self.unpublished = unpublished
        self.tables = {t.qualified: t for t in tables if t.mirror in declarations.tables}  #: by schema.table
        self.maintained = declarations.maintained  #: read models and rollups, each after what it reads
        self.read_models = sorted(model.name for model in declarations.read_models)  #: those parked among them
        self.histories: dict[str, list[History]] = {}  #: by schema.table
        self.history_columns: dict[str, list[str]] = {}  #: by history
        self.untold: frozenset[str] = frozenset()  #: new histories of tables in doubt: they begin with its snapshot
        self.relations: dict[str, Relation] = {}  #: tables of the mirror, rollups and read models, by reference
        self.plan = Plan()
        self.stale: frozenset[str] = frozenset()  #: declared tables that were parked and have fallen behind
        self.parked: dict[str, str] = {}  #: declared tables that stand still, and why
        self.incomplete: dict[str, str] = {}  #: read models of which rows may be behind, and why
        self.dead_letters = 0
        self._mirrors = {name: table.mirror for name, table in self.tables.items()}  # those parked among them
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

    @property
    def captured(self) -> frozenset[str]:
        """The declared relations whose old and new rows another one takes in."""
        return self._declarations.captured

    @property
    def doubted(self) -> frozenset[str]:
        """The names of all that read a table in doubt, whose mirror is not yet what they will read."""
        return self.readers_of([self.tables[name].mirror for name in self.plan.doubts])

    def readers_of(self, tables: Collection[str]) -> frozenset[str]:
        """The names of all that read one of these source tables, or something that does."""
        return self._declarations.readers_of(tables)

    def with_readers(self, names: Collection[str]) -> frozenset[str]:
        """These declared tables and all that read one of them, or something that does."""
        references = [one.reference for one in self.maintained if one.name in names]
        return self._declarations.readers_of(references) | frozenset(names)

    def prepare_declared(self, connection: Connection) -> frozenset[str]:
        """Make the tables that are missing or were built from another declaration; returns their names: now empty.

        Read models and rollups that are not declared any more are dropped: they would stand still.
        """
        drop_undeclared(connection, self._declarations)
        built = fingerprints(connection)
        wanted = self._declarations.fingerprints()
        self.relations = {table.mirror: relation_of(table) for table in self.tables.values()}
        made: set[str] = set()
        for history in self._declarations.histories:
            if built.get(history.name) != wanted[history.name]:
                make_history(connection, history, anew=history.name in built)
                made.add(history.name)
            self.history_columns[history.name] = columns_of(connection, history)
        in_doubt = {self.tables[name].mirror for name in self.plan.doubts}
        new = [history for history in self._declarations.histories if history.name in made]
        self.untold = frozenset(history.name for history in new if history.of in in_doubt)
        self._note_histories(connection, made - self.untold)
        for declared in self.maintained:
            if built.get(declared.name) != wanted[declared.name]:
                if isinstance(declared, Rollup) and declared.of not in self.relations:
                    continue  # what it reads is parked, and so will it be
                make(connection, declared, self.relations)
                note(connection, declared, wanted[declared.name])
                made.add(declared.name)
            self.relations[declared.reference] = stored_relation(connection, declared)
        return frozenset(made)

    def begin_unpublished(self, connection: Connection) -> None:
        """Have all tables that anybody may read be published anew, and from here on what changes in them."""
        models = [one for one in self._declarations.read_models if one.reference in self.relations]
        names = [*(model.name for model in models), *self.history_columns]
        self.unpublished.begin(connection, models, names)

    def note_told(self, connection: Connection) -> None:
        """The snapshot has been told to the histories that waited for it."""
        self._note_histories(connection, self.untold)
        self.untold = frozenset()

    def _note_histories(self, connection: Connection, names: Collection[str]) -> None:
        if not names:
            return  # as at nearly every start
        wanted = self._declarations.fingerprints()
        for history in self._declarations.histories:
            if history.name in names:
                note(connection, history, wanted[history.name])

    def park(self, connection: Connection, made: Collection[str] = ()) -> None:
        """Leave declared tables as they stand that read what is parked, or cannot be computed on the mirror any more.

        One that was just ``made`` from a new declaration fails for all to see instead.
        """
        tables = {self._mirror(name): why for name, why in self.plan.parked.items()}
        parked = parked_with(self._declarations, tables)
        sound = self.doubted.union(made)
        parked |= broken(without(self._declarations, parked), self.tables.values(), sound)
        parked |= readers(self._declarations, parked)
        for name, why in parked.items():
            logger.warning("read model parked", extra={"action": "model_parked", "model": name, "reason": why})
        rows = connection.execute("select name from readside.declared where parked is not null").fetchall()
        before = frozenset(name for (name,) in rows)
        noted = waiting(before.union(made) & self.doubted) | parked
        self.stale = before - noted.keys()
        connection.execute("update readside.declared set parked = null")
        for name, why in noted.items():
            connection.execute(
                "update readside.declared set parked = $why where name = $name", {"name": name, "why": why}
            )
        kept = without(self._declarations, parked)
        self.maintained = kept.maintained
        self.histories = {
            table.qualified: [history for history in kept.histories if history.of == table.mirror]
            for table in self.tables.values()
        }
        self.parked = noted

    @property
    def with_history(self) -> frozenset[str]:
        """The tables, schema.table, of which there is a history."""
        return frozenset(name for name, histories in self.histories.items() if histories)

    def count_letters(self, by_table: Mapping[str, int]) -> None:
        """So many changes are parked, by schema.table."""
        self.dead_letters = sum(by_table.values())
        counts = behind(self._declarations, {self._mirror(table): count for table, count in by_table.items()})
        told = {name: f"{count} dead letters" for name, count in counts.items()}
        self.incomplete = told | {name: f"parked: {why}" for name, why in self.parked.items()}

    def _mirror(self, table: str) -> str:
        """The name in the mirror of a table, schema.table; one that is not captured any more has a plain one."""
        return self._mirrors.get(table, table.partition(".")[2])

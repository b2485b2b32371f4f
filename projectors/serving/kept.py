"""What the serving store keeps up: the captured tables and the declared ones, less what is parked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import psycopg

from cdc.catalog import Table
from cdc.shapes import Shapes
from projectors.alteration import Plan, require_tables, with_missing
from projectors.declaration import NEXT, base_of
from projectors.parking import parked_with, without
from projectors.read_model import Declarations, History
from projectors.serving.following import follow_source, make_anew, remember, remembered
from projectors.serving.parked import failing, note_parked
from projectors.serving.rebuilds import refused_fingerprints, under_way
from projectors.serving.schema import note, read_built, remember_declarations, require_unambiguous
from projectors.serving.statements import Statements
from projectors.versions import Versions, versions

logger = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]


class Kept:
    """Changes with the source: ``follow`` and then ``park`` say what is kept up from there on."""

    def __init__(
        self, tables: Sequence[Table], declarations: Declarations, shapes: Shapes, parks: Callable[[str], bool]
    ) -> None:
        """See ServingStore."""
        self.tables = {table.qualified: table for table in tables}  #: by schema.table
        self._code = declarations
        self.declarations = declarations
        self.versions = Versions(kept={})
        self._followed = declarations  # those that read nothing that is parked
        self.histories: Mapping[str, Sequence[History]] = {}  #: by schema.table
        self.with_history: frozenset[str] = frozenset()  #: tables of which there is a history
        self.untold: frozenset[str] = frozenset()  #: new histories of tables in doubt: they begin with its snapshot
        self.plan = Plan()
        self.stale: frozenset[str] = frozenset()  #: read models that were parked and have fallen behind
        self._shapes = shapes
        self._parks = parks
        self.parked: Mapping[str, str] = {}  #: declared tables that read a parked one, and why
        self.stands_still: Mapping[str, str] = {}  #: these and those that cannot be computed, and why

    def follow(self, connection: Connection, *, first: bool) -> None:
        """Bring the mirror in line with the source's tables; ``first``: the store holds nothing yet."""
        built, refused, rebuild = read_built(connection), refused_fingerprints(connection), under_way(connection)
        asked, building = (rebuild.asked_names, rebuild.fingerprints) if rebuild is not None else ((), {})
        self.versions = versions(self._code, built, asked=asked, refused=refused, building=building)
        for name in sorted(self.versions.refused):
            logger.warning(
                "a read model stays as it was declared before: its new declaration was rolled back, cancelled or failed",
                extra={"action": "declaration_refused", "model": name},
            )
        remember_declarations(connection, self.versions.kept)
        self.declarations = self.versions.declarations
        tables = list(self.tables.values())
        require_unambiguous(tables)
        require_tables(self.declarations.tables, tables, remembered(connection))
        self.plan = follow_source(connection, tables, self._shapes, self._parks)
        if first:
            self.make_doubtful_anew(connection)
        parked = self.plan.parked
        for name, why in parked.items():
            logger.warning("table parked", extra={"action": "table_parked", "table": name, "reason": why})
        self.tables = {
            table.qualified: with_missing(table, self.plan.remember[table.qualified])
            for table in tables
            if table.qualified not in parked
        }
        mirrors = {table.qualified: table.mirror for table in tables}
        self.parked = parked_with(
            self.declarations, {mirrors.get(name, name.partition(".")[2]): why for name, why in parked.items()}
        )
        self.declarations = self._followed = without(self.declarations, self.parked)

    @property
    def doubted(self) -> frozenset[str]:
        """The names of all that read a table in doubt, whose mirror is not yet what they will read."""
        mirrors = {self.tables[name].mirror for name in self.plan.doubts}
        told = {history.name for history in self.declarations.histories if history.of in mirrors}
        return self.declarations.readers_of(mirrors) | told

    def next_standing_still(self, names: Collection[str]) -> str | None:
        """Why the next version of one of these cannot be kept up."""
        why = {name: self.stands_still.get(f"{name}{NEXT}") for name in names}
        return next((f"{name}: {reason}" for name, reason in why.items() if reason is not None), None)

    def other_readers(self, names: Collection[str]) -> frozenset[str]:
        """What reads one of these, or something that does, by the name that serves, and is none of them."""
        references = {f"{schema}.{name}" for schema in ("read_models", "rollups") for name in names}
        readers = self.versions.declarations.readers_of(references) - set(names)
        return frozenset(name for name in readers if name == base_of(name))

    def make_doubtful_anew(self, connection: Connection) -> list[Table]:
        """Give the mirrors of tables in doubt the source's columns, for a snapshot to fill; returns the tables."""
        doubtful = [self.tables[name] for name in self.plan.doubts]
        for table in doubtful:
            make_anew(connection, table)
            remember(connection, table.qualified, self.plan.remember[table.qualified])
        self.plan.doubts.clear()
        return doubtful

    def await_snapshot(self, made: Collection[str]) -> None:
        """Of the histories that were just ``made``, those of tables in doubt are told nothing before its snapshot."""
        new = {history.name for history in self.declarations.histories if history.name in made}
        self.untold = self.doubted & new

    def begun_by_snapshot(self, anew: Collection[str] | None) -> frozenset[str]:
        """What begins with it: all of the first; else what reads a mirror made ``anew``, has fallen behind, or waited."""
        if anew is None:
            return frozenset(one.name for one in (*self.declarations.histories, *self.declarations.maintained))
        return self.declarations.readers_of(anew) | self.stale | self.untold

    def note_told(self, connection: Connection) -> None:
        """The snapshot has been told to the histories that waited for it."""
        for name in self.untold:
            note(connection, self.versions.kept[name])
        self.untold = frozenset()

    def park(self, connection: Connection, statements: Statements, made: Collection[str] = ()) -> None:
        """Leave declared tables as they stand that read what is parked, or that cannot be computed on the mirror any more.

        One that was just ``made`` from a new declaration fails for all to see instead.
        """
        self.declarations = self._followed  # what could not be computed may be by now, or still stands still
        names = {declared.name for declared in (*self.declarations.histories, *self.declarations.maintained)}
        # At every start, for an alteration may have been followed by one that stopped in doubt.
        broken = failing(connection, statements, self.declarations, names - self.doubted - frozenset(made))
        self.stands_still = {**self.parked, **broken}
        self.stale = note_parked(connection, self.stands_still, made=made, doubted=self.doubted)
        for name, why in self.stands_still.items():
            logger.warning("read model parked", extra={"action": "model_parked", "model": name, "reason": why})
        self.declarations = without(self.declarations, broken)
        declared = self.declarations.histories
        self.histories = {t.qualified: [h for h in declared if h.of == t.mirror] for t in self.tables.values()}
        self.with_history = frozenset(name for name, histories in self.histories.items() if histories)

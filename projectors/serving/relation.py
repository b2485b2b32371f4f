"""What other rows are derived from: a table of the mirror or a declared one, with the rows a batch changed in it.

Old and new versions lie in a temporary table of the session, told apart by a sign, so that a measure's change is the sum
over new versions less the sum over old ones; a row that changed several times in a batch cancels out in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from psycopg.sql import SQL, Composed, Identifier

from cdc.catalog import Table
from projectors.serving.values import column_type

_LONGEST_NAME = 63  # bytes


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation, as SQL reads it."""

    reference: str  #: its name in declarations: T, rollups.R, read_models.M
    stored: Identifier  #: its rows as they stand
    changed: Identifier  #: the temporary table of old and new versions; the batch that fills it empties it
    columns: tuple[str, ...]

    @property
    def sign(self) -> Identifier:
        """The column of ``changed`` that is -1 for an old version and 1 for a new one: a name no other column has."""
        name = "sign"
        while name in self.columns:
            name += "_"
        return Identifier(name)

    def rows(self) -> Composed:
        """Selects every row that stands."""
        return SQL("select {} from {}").format(self._list(), self.stored)

    def versions(self, sign: Literal[-1, 1] | None = None) -> Composed:
        """Selects the versions that a batch touched: old ones, new ones, or both."""
        both = SQL("select {} from {}").format(self._list(), self.changed)
        return both if sign is None else SQL("{} where {} = {}").format(both, self.sign, sign)

    def create_changed(self) -> Composed:
        """Makes ``changed``."""
        return SQL("create temporary table {} ({} smallint not null, like {})").format(
            self.changed, self.sign, self.stored
        )

    def _list(self) -> Composed:
        return SQL(", ").join(map(Identifier, self.columns))


def forget(relations: Iterable[Relation]) -> Composed:
    """Empties ``changed`` of each."""
    deletes = [SQL("delete from {}").format(relation.changed) for relation in relations]
    first = SQL(", ").join(
        SQL("{} as ({})").format(Identifier(f"forgotten_{n}"), delete) for n, delete in enumerate(deletes[1:])
    )
    return SQL("with {} {}").format(first, deletes[0]) if deletes[1:] else deletes[0]


def empty(relations: Iterable[Relation]) -> Composed:
    """The same by new files: dearer for few rows, and leaves no dead ones behind."""
    return SQL("truncate {}").format(SQL(", ").join(relation.changed for relation in relations))


def relation_of(table: Table) -> Relation:
    """A table of the mirror."""
    columns = tuple(column.name for column in table.columns)
    return Relation(table.mirror, Identifier("mirror", table.mirror), temporary("changed", table.mirror), columns)


def no_rows(table: Table) -> Composed:
    """Selects none, with the columns of the source's table: the mirror of one in doubt does not have them yet."""
    columns = [SQL("null::{} as {}").format(column_type(c), Identifier(c.name)) for c in table.columns]
    return SQL("select {} limit 0").format(SQL(", ").join(columns))


def declared_relation(reference: str, columns: Sequence[str]) -> Relation:
    """A rollup or a read model; no temporary table of the mirror has a name like its one."""
    schema, _, name = reference.partition(".")
    return Relation(reference, Identifier(schema, name), Identifier(reference), tuple(columns))


def temporary(kind: str, name: str) -> Identifier:
    """The name of a temporary table for a table of the mirror."""
    full = f"{kind}_{name}"
    # Longer names would be cut, and those of two tables might become one.
    if len(full.encode()) > _LONGEST_NAME:
        full = f"{kind}_{hashlib.sha256(full.encode()).hexdigest()[:32]}"
    return Identifier(full)

"""What other rows are derived from in DuckDB: a table of the mirror or a declared one, with the rows a batch changed in it.

As in the serving store (projectors/serving/relation.py): old and new versions lie in a temporary table, told apart by a
sign, so that a row which changed several times in a batch cancels out in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdc.catalog import Table
from projectors.analytics.mirror import carried, changed_rows, duckdb_type, quoted, sign_of
from projectors.read_model import ReadModel
from projectors.rollup import Rollup


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation, as SQL reads it."""

    reference: str  #: its name in declarations: T, rollups.R, read_models.M
    stored: str  #: its rows as they stand
    changed: str  #: the temporary table of old and new versions
    columns: tuple[str, ...]
    none: str  #: selects no row, with these columns as the source has them: the mirror of a table in doubt does not yet

    @property
    def sign(self) -> str:
        """The column of ``changed`` that is -1 for an old version and 1 for a new one: a name no other column has."""
        return quoted(sign_of(self.columns))

    @property
    def names(self) -> str:
        """The columns, as SQL lists them."""
        return ", ".join(map(quoted, self.columns))

    @property
    def rows(self) -> str:
        """Selects every row that stands."""
        return f"select {self.names} from {self.stored}"

    def versions(self, sign: int | None = None) -> str:
        """Selects the versions that a batch touched: old ones, new ones, or both."""
        both = f"select {self.names} from {self.changed}"
        return both if sign is None else f"{both} where {self.sign} = {sign}"


def relation_of(table: Table) -> Relation:
    """A table of the mirror."""
    columns = tuple(column.name for column in carried(table))
    none = ", ".join(f"null::{duckdb_type(column)} as {quoted(column.name)}" for column in carried(table))
    stored = f"mirror.{quoted(table.mirror)}"
    return Relation(table.mirror, stored, changed_rows(table), columns, f"select {none} limit 0")


def declared_relation(declared: ReadModel | Rollup, columns: Sequence[str]) -> Relation:
    """A rollup, or a read model, which lies in the schema main for everybody to query."""
    schema = "rollups" if isinstance(declared, Rollup) else "main"
    stored = f"{schema}.{quoted(declared.name)}"
    none = f"select {', '.join(map(quoted, columns))} from {stored} limit 0"
    return Relation(declared.reference, stored, f"temp.{quoted(declared.reference)}", tuple(columns), none)

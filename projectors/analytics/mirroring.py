"""Brings the mirror in DuckDB to where a batch or a snapshot says, and tells the histories what that means."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from cdc.change import Change
from projectors.analytics.history import history_of_difference, history_of_snapshot, history_of_versions
from projectors.analytics.incoming import Incoming
from projectors.analytics.kept import Kept
from projectors.analytics.mirror import MirrorSql, mirror_sql
from projectors.batch import TableChanges
from projectors.checkpoint import Checkpoint


class Mirroring:
    """Its methods run inside the store's open transaction, by ``run``. Tables are named schema.table."""

    def __init__(self, kept: Kept, incoming: Incoming, run: Callable[..., None]) -> None:
        """``incoming``: the relation of that name, which the statements read."""
        self._kept = kept
        self._incoming = incoming
        self._run = run
        self._sql: dict[str, MirrorSql] = {name: mirror_sql(table) for name, table in kept.tables.items()}

    def begin(self, name: str) -> None:
        """Make room for a table's changed rows; once in a batch."""
        self._run(self._sql[name].create_changed)

    def apply(self, name: str, changes: TableChanges) -> None:
        """Bring a table to where its net changes say."""
        sql, rows = self._sql[name], changes.rows
        if changes.truncated:
            self._run(sql.remember_all, sql.clear)
        if changes.versions:
            self._incoming.fill_versions(changes.versions)
            partial = any(version.row and version.row.base is not None for version in changes.versions)
            self._run(*(sql.stage_versions_partial if partial else (sql.stage_versions,)), sql.remember_before)
            self._tell(name, history_of_versions)
        written = [row for row in rows.values() if row is not None]
        if written:
            bases = [row.base for row in written]
            self._incoming.fill([row.columns for row in written], bases)
            self._run(*_stage(sql, bases), sql.remember_old, sql.remember_new, sql.delete, sql.insert)
        if gone := [key for key, row in rows.items() if row is None]:
            self._incoming.fill(gone, [None] * len(gone))
            self._run(sql.stage_keys, sql.remember_old, sql.delete)

    def begin_snapshot(self) -> None:
        """Make room for the rows of a later snapshot, beside the mirror."""
        for sql in self._sql.values():
            self._run(sql.create_snapshot, sql.create_changed)

    def load(self, rows: Sequence[Change], *, first: bool) -> None:
        """Take in rows of a snapshot: into the mirror, or beside it."""
        by_table: dict[str, dict[bytes, Change]] = {}
        for change in rows:
            assert change.key is not None
            by_table.setdefault(change.table, {})[change.key] = change
        for name, by_key in by_table.items():
            images = [change.row for change in by_key.values() if change.row is not None]
            # A column that was added after the snapshot is not in its rows.
            bases = [change.key if change.partial else None for change in by_key.values()]
            self._incoming.fill(images, bases)
            sql = self._sql[name]
            self._run(*_stage(sql, bases), *((sql.delete, sql.insert) if first else sql.add_to_snapshot))

    def apply_snapshot(self, position: Checkpoint) -> None:
        """Make the mirror what lies beside it; what differs is among the changed rows."""
        for name, sql in self._sql.items():
            self._run(*sql.apply_snapshot)
            self._tell(name, history_of_difference, position, leave_out=self._kept.untold)

    def tell_of_snapshot(self, histories: Collection[str], position: Checkpoint) -> None:
        """Let these histories begin with the mirror's rows."""
        for name in self._sql:
            self._tell(name, history_of_snapshot, position, only=histories)

    def _tell(
        self,
        name: str,
        statement: Callable[..., str],
        *position: Checkpoint,
        only: Collection[str] | None = None,
        leave_out: Collection[str] = (),
    ) -> None:
        for history in self._kept.histories[name]:
            if (only is None or history.name in only) and history.name not in leave_out:
                columns = self._kept.history_columns[history.name]
                self._run(statement(history, columns, self._kept.tables[name], *position))


def _stage(sql: MirrorSql, bases: Sequence[bytes | None]) -> Sequence[str]:
    return (sql.stage,) if all(base is None for base in bases) else sql.stage_partial

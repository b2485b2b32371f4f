"""A snapshot's way into the serving store, inside a transaction of the store's."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import psycopg
from psycopg.sql import SQL, Composed

from cdc.catalog import Table
from cdc.change import Change
from projectors.serving.kept import Kept
from projectors.serving.statements import Statements

logger = logging.getLogger(__name__)


class Loading:
    """``add`` its rows; a later one is begun and compared besides."""

    def __init__(self, connection: psycopg.Connection[Any], statements: Statements, kept: Kept) -> None:
        self._connection = connection
        self._statements = statements
        self._kept = kept
        self._into: Literal["load", "stage"] = "load"

    def begin_difference(self) -> frozenset[str]:
        """Stage the rows instead of loading them; returns the names of tables whose mirrors were made anew."""
        doubtful = self._kept.make_doubtful_anew(self._connection)
        for table in doubtful:
            relation = self._statements.relations[table.mirror]
            self._execute(SQL("drop table {}").format(relation.changed))
            self._execute(relation.create_changed())
        if doubtful:
            self._kept.park(self._connection, self._statements, self._kept.untold)
        self._execute(*(self._statements.difference[name].create for name in self._kept.tables))
        self._into = "stage"
        return frozenset(table.mirror for table in doubtful)

    def add(self, rows: Sequence[Change]) -> None:
        """Take in some of the snapshot's rows."""
        by_table: dict[tuple[str, bool], dict[bytes, bytes]] = {}
        for change in rows:
            assert change.key is not None and change.row is not None
            row = b'{"base":%b,"row":%b}' % (change.key, change.row) if change.partial else change.row
            by_table.setdefault((change.table, change.partial), {})[change.key] = row
        for (name, partial), images in by_table.items():
            into = f"{self._into}_partial" if partial else self._into
            array = (b"[" + b",".join(images.values()) + b"]").decode()
            query = self._statements.render(
                (into, name), lambda name=name, into=into: getattr(self._statements.mirror[name], into)
            )
            self._connection.execute(query, {"rows": array}, prepare=False)

    def compare(self, at: Mapping[str, Any]) -> list[Table]:
        """Make the mirror what was staged, histories told of it; returns the tables of which rows are in changed_T now."""
        for name in self._kept.tables:
            difference, mirror = self._statements.difference[name], self._statements.mirror[name]
            self._execute(difference.analyze)
            for history in self._kept.histories[name]:
                if history.name in self._kept.untold:
                    continue
                self._connection.execute(self._statements.history_of_difference(history), at, prepare=False)
            self._execute(difference.delete_gone, difference.forget_equal, mirror.adopt, difference.analyze_changed)
            logger.info("snapshot compared", extra={"action": "snapshot_compared", "table": name})
        return [table for table in self._kept.tables.values() if self._has_changes(table)]

    def _has_changes(self, table: Table) -> bool:
        changed = self._statements.relations[table.mirror].changed
        row = self._connection.execute(SQL("select exists (select from {})").format(changed)).fetchone()
        return row is not None and row[0]

    def _execute(self, *statements: Composed) -> None:
        # All in one message: there are five for each table, and most tables are small.
        self._connection.execute(SQL("; ").join(statements).as_bytes(self._connection), prepare=False)

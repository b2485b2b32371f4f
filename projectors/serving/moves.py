"""A segment of net changes → the statements that bring histories and the mirror there, with their rows as JSON arrays.

Needs no connection: a large batch's are made beside the one that is being applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from psycopg.sql import Composed

from projectors.batch import Segment
from projectors.read_model import History
from projectors.serving.refresh import history_row
from projectors.serving.statements import Statements


class Move(NamedTuple):
    """One statement. ``render`` may use the connection; ``rows``: its parameter of that name, None for none."""

    render: Callable[[], bytes]
    rows: str | None


def moves_of(segment: Segment, statements: Statements, histories: Mapping[str, Sequence[History]]) -> Iterator[Move]:
    """``histories``: by schema.table."""
    for name, changes in segment.items():
        mirror = statements.mirror[name]

        def move(kind: str, statement: Composed, rows: Sequence[bytes] | None, name: str = name) -> Move:
            return Move(partial(statements.render, (kind, name), lambda: statement), _array(rows))

        # Before the histories, which ask the mirror what rows were: a TRUNCATE is what a segment has of a table first.
        if changes.truncated:
            yield move("truncate", mirror.truncate, None)
        if changes.versions:
            versions = _array([history_row(version) for version in changes.versions])
            for history in histories[name]:
                yield Move(partial(statements.history, history), versions)
        # Rows that take columns from the stored row of another key need it before it is deleted.
        rows = [row for row in changes.rows.values() if row is not None]
        if merged := [b'{"base":%b,"row":%b}' % (r.base, r.columns) for r in rows if r.base is not None]:
            yield move("merge", mirror.merge, merged)
        if whole := [row.columns for row in rows if row.base is None]:
            yield move("replace", mirror.replace, whole)
        if gone := [key for key, row in changes.rows.items() if row is None]:
            yield move("delete", mirror.delete, gone)


def _array(rows: Sequence[bytes] | None) -> str | None:
    return None if rows is None else (b"[" + b",".join(rows) + b"]").decode()

"""Many whole transactions → the net change per table and row, in sets that a store can apply.

Only the rows' JSON is handled. A row whose update left columns out (unavailable TOAST values) is merged column-wise
with what the same batch said of it before, and names the stored row that fills what is still missing.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from msgspec import Raw

from cdc.assembler import Transaction
from cdc.change import Change

_columns = msgspec.json.Decoder(dict[str, Raw])


class Row(NamedTuple):
    """A row's new state: ``columns`` as JSON; with ``base``, absent columns are those of the stored row of that key."""

    columns: bytes
    base: bytes | None


class Version(NamedTuple):
    """One change of one row, for histories: ``row`` is None when it was deleted."""

    key: bytes
    row: Row | None
    end_lsn: int
    place: int
    committed_us: int


@dataclass(slots=True)
class TableChanges:
    """Net changes of one table: truncate first if so said, then every key's new row, or None where it was deleted."""

    truncated: bool = False
    rows: dict[bytes, Row | None] = field(default_factory=dict[bytes, Row | None])
    versions: list[Version] = field(default_factory=list[Version])
    gone: dict[bytes, Row] = field(default_factory=dict[bytes, Row])  # last state of rows deleted here


Segment = dict[str, TableChanges]  # by schema.table


def net_changes(
    transactions: Iterable[Transaction], histories_of: Container[str], most_changes: int
) -> Iterator[Segment]:
    """Segments to be applied one after the other, of about ``most_changes``; versions only for ``histories_of`` tables.

    A TRUNCATE of a table that has changed begins a new one. A segment never ends inside a key change: the row under the
    new key may take columns from the one under the old key.
    """
    segment: Segment = {}
    changes = 0
    for transaction in transactions:
        for change in transaction.changes:
            full = changes >= most_changes and change.old_key is None
            if full or (change.op == "t" and change.table in segment):
                yield segment
                segment, changes = {}, 0
            changes += 1
            if (table := segment.get(change.table)) is None:
                table = segment[change.table] = TableChanges()
            if change.op == "t":
                table.truncated = True
                continue
            row = _apply(table, change)
            if change.table in histories_of:
                assert change.key is not None
                table.versions.append(
                    Version(change.key, row, transaction.end_lsn, change.order, transaction.committed_us)
                )
    yield segment


def _apply(table: TableChanges, change: Change) -> Row | None:
    key = change.key
    assert key is not None
    if change.op == "d":
        table.gone[key] = table.rows.get(key) or Row(b"{}", key)
        table.rows[key] = None
        return None
    assert change.row is not None
    if not change.partial:
        row = Row(change.row, None)
    elif change.old_key is not None:
        row = _merge(table.gone.get(change.old_key) or Row(b"{}", change.old_key), change.row)
    else:
        row = _merge(table.rows.get(key) or Row(b"{}", key), change.row)
    table.rows[key] = row
    return row


def _merge(earlier: Row, columns: bytes) -> Row:
    merged = _columns.decode(earlier.columns) | _columns.decode(columns)
    return earlier._replace(columns=msgspec.json.encode(merged))

"""Row images against the mirrored columns: an image of another shape is noticed before it is applied.

Shapes change along the stream, in commit order: where the first and the last image of a table in a batch have the known
columns, those between have them too. So a batch costs two looks per table, not one per row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

import msgspec
import msgspec.structs
from msgspec import Raw

from cdc.assembler import Transaction
from cdc.catalog import Table
from cdc.change import Change
from cdc.errors import Transient
from cdc.spool import Changes

logger = logging.getLogger(__name__)

_object = msgspec.json.Decoder(dict[str, Raw])


class Images:
    """Makes images of former shapes what they mean today."""

    def __init__(
        self, tables: Sequence[Table], former: Mapping[str, Mapping[str, str]], is_current: Callable[[], bool]
    ) -> None:
        """``former``: by table, present column by former name; ``is_current``: whether the catalogue still says so."""
        # Generated columns are in a snapshot's images alone; the mirror computes them.
        self._columns = {t.qualified: frozenset(c.name for c in t.columns if c.generated is None) for t in tables}
        self._generated = {t.qualified: frozenset(c.name for c in t.columns if c.generated is not None) for t in tables}
        self._former = former
        self._is_current = is_current
        self._explained: set[tuple[str, frozenset[str], frozenset[str]]] = set()

    def conformed(self, transactions: Sequence[Transaction]) -> Sequence[Transaction]:
        """With images that hold the known columns or, of those added later, say nothing. Raises Transient when the
        source's columns are not those of ``tables`` any more."""
        odd = self._odd_tables(change for transaction in transactions for change in transaction.changes)
        if not odd:
            return transactions
        return [t.with_changes(_Conformed(t.changes, lambda change: self._present(change, odd))) for t in transactions]

    def conformed_rows(self, changes: Sequence[Change]) -> Sequence[Change]:
        """The same for a snapshot's rows."""
        odd = self._odd_tables(changes)
        return [self._present(change, odd) for change in changes] if odd else changes

    def _odd_tables(self, changes: Iterable[Change]) -> frozenset[str]:
        first: dict[tuple[str, bool], Change] = {}
        last: dict[tuple[str, bool], Change] = {}
        for change in changes:
            if change.row is not None:
                first.setdefault((change.table, change.partial), change)
                last[change.table, change.partial] = change
        looked_at = {id(change): change for change in (*first.values(), *last.values())}
        return frozenset(change.table for change in looked_at.values() if self._is_odd(change))

    def _is_odd(self, change: Change) -> bool:
        assert change.row is not None
        known = self._columns[change.table]
        names = frozenset(_object.decode(change.row)) - self._generated[change.table]
        return not names <= known if change.partial else names != known

    def _present(self, change: Change, odd: Container[str]) -> Change:
        if change.table not in odd or change.row is None:
            return change
        image, known = _object.decode(change.row), self._columns[change.table]
        for name in self._generated[change.table]:
            image.pop(name, None)
        if image.keys() == known or (change.partial and image.keys() <= known):
            return change
        former = self._former.get(change.table, {})
        renamed = {former.get(name, name) if name not in known else name: value for name, value in image.items()}
        unknown = frozenset(renamed.keys() - known)
        absent = frozenset[str]() if change.partial else frozenset(known - renamed.keys())
        self._explain(change.table, unknown, absent)
        row = msgspec.json.encode({name: value for name, value in renamed.items() if name in known})
        return msgspec.structs.replace(change, row=row, partial=change.partial or bool(absent))

    def _explain(self, table: str, unknown: frozenset[str], absent: frozenset[str]) -> None:
        if not (unknown or absent) or (table, unknown, absent) in self._explained:
            return
        if not self._is_current():
            raise Transient(f"{table} has other columns at the source than when this projector started; beginning anew")
        # The catalogue, read after the image was written, knows nothing of the unknown ones: they were dropped since.
        # Those that the image lacks were added since.
        self._explained.add((table, unknown, absent))
        logger.info(
            "rows from before a change of the table",
            extra={"action": "former_shape", "table": table, "dropped": sorted(unknown), "added": sorted(absent)},
        )


class _Conformed:
    """A transaction's changes, each made what it means today as it is read."""

    def __init__(self, changes: Changes, present: Callable[[Change], Change]) -> None:
        self._changes = changes
        self._present = present

    def __len__(self) -> int:
        return len(self._changes)

    def __iter__(self) -> Iterator[Change]:
        return map(self._present, self._changes)

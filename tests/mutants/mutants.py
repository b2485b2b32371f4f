"""Engines broken on purpose, each in one place and in a way that somebody might think right."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import msgspec

from cdc import assembler, change
from cdc.assembler import Assembler, Transaction
from cdc.change import Change
from cdc.unavailable import PLACEHOLDER
from projectors import batch
from projectors.serving import rollup, store
from projectors.serving.relation import Relation
from projectors.serving.store import ServingStore

Mutant = contextlib.AbstractContextManager[object]
Make = Callable[[], Mutant]


def position_before_rows() -> Mutant:
    """Commits where it will stand, then the rows."""
    apply = ServingStore._apply

    def mutated(self: Any, transactions: Any, count: int, moves: Any, checkpoint: Any) -> None:
        with self._transaction():
            self._move(checkpoint)
        apply(self, transactions, count, moves, checkpoint)

    return patch.object(ServingStore, "_apply", mutated)


def position_after_rows() -> Mutant:
    """Commits the rows, then where it stands: what was committed is applied again after a crash."""
    apply, move = ServingStore._apply, ServingStore._move

    def mutated(self: Any, transactions: Any, count: int, moves: Any, checkpoint: Any) -> None:
        with patch.object(ServingStore, "_move", lambda *_: None):
            apply(self, transactions, count, moves, checkpoint)
        with self._transaction():
            move(self, checkpoint, transactions)

    return patch.object(ServingStore, "_apply", mutated)


def repeats_are_new() -> Mutant:
    """Takes a repeated transaction for a new one."""

    def mutated(self: Any, partition: Any, offset: int, end: Any) -> None:
        self.passed(partition, offset)
        counts = {table: count for table, count in end.counts.items() if table in self._tables}
        self._waiting.append(assembler._Waiting(end, offset, counts))

    return both(
        patch.object(Assembler, "_was_handed_out", lambda *_: False), patch.object(Assembler, "add_end", mutated)
    )


def lower_lsns_are_old() -> Mutant:
    """Skips a row whose LSN is below the highest one seen."""
    add = Assembler.add
    highest: dict[int, int] = {}

    def mutated(self: Any, partition: Any, offset: int, row: Change) -> None:
        if row.lsn < highest.get(id(self), 0):
            self.passed(partition, offset)
        else:
            highest[id(self)] = row.lsn
            add(self, partition, offset, row)

    return patch.object(Assembler, "add", mutated)


def last_end_is_old() -> Mutant:
    """Off by one: takes the transaction right behind the last one for handed out."""
    return patch.object(
        Assembler,
        "_was_handed_out",
        lambda self, row: row.previous_end is not None and row.previous_end <= self._end_lsn,
    )


def rows_counted_not_placed() -> Mutant:
    """Counts the rows of a transaction instead of knowing their places: a repeated row counts twice."""
    add = Assembler.add

    def mutated(self: Any, partition: Any, offset: int, row: Change) -> None:
        pending = self._pending.get(row.xid)
        add(self, partition, offset, replace(row, order=row.order + 1000 * len(pending.rows)) if pending else row)

    return patch.object(Assembler, "add", mutated)


def end_is_enough() -> Mutant:
    """Hands a transaction out when its END comes, whatever of its rows has come."""
    take = Assembler.take

    def mutated(self: Any, most_changes: int) -> list[Transaction]:
        for waiting in self._waiting:
            pending = self._pending.get(waiting.end.xid)
            waiting.counts = dict(pending.by_table) if pending else {}
        return take(self, most_changes)

    return patch.object(Assembler, "take", mutated)


def lsn_order() -> Mutant:
    """Applies transactions in the order of their rows' LSNs, not in commit order."""
    return _handing_out(lambda taken: sorted(taken, key=lambda t: min((c.lsn for c in t.changes), default=t.end_lsn)))


def rows_by_lsn() -> Mutant:
    """Orders a transaction's rows by LSN, which a delete and a create of one key change share."""

    def sort(taken: list[Transaction]) -> list[Transaction]:
        return [t.with_changes(tuple(sorted(list(t.changes)[::-1], key=lambda c: c.lsn))) for t in taken]

    return _handing_out(sort)


def pending_forgotten() -> Mutant:
    """Reads on behind everything it has read, whole or not."""
    state = Assembler.state

    def mutated(self: Any) -> dict[str, Any]:
        said = state(self)
        return said | {"restart": said["frontier"], "pending": []}

    return patch.object(Assembler, "state", mutated)


def old_key_ignored() -> Mutant:
    """Does not look where a row was before its key changed."""
    return patch.object(change, "old_key_of", lambda _headers: None)


def before_trusted() -> Mutant:
    """Fills columns that did not come from ``before``, which default replica identity leaves empty."""

    def mutated(row: bytes) -> bytes:
        columns = msgspec.json.decode(row)
        return msgspec.json.encode({n: None if PLACEHOLDER in str(v) else v for n, v in columns.items()})

    return patch.object(change, "without_unavailable", mutated)


def placeholder_stored() -> Mutant:
    """Takes the placeholder for a value."""
    return patch.object(change, "without_unavailable", lambda row: row)


def last_record_wins() -> Mutant:
    """Keeps only the last record of a row in a batch, without the columns it left out."""
    return patch.object(batch, "_merge", lambda earlier, columns: replace(earlier, columns=columns))


def truncate_last() -> Mutant:
    """Empties a table after the batch's rows."""
    net_changes = batch.net_changes

    def mutated(*arguments: Any) -> Iterator[batch.Segment]:
        for segment in net_changes(*arguments):
            late = {name: batch.TableChanges(truncated=True) for name, table in segment.items() if table.truncated}
            for name in late:
                segment[name].truncated = False
            yield segment
            yield late

    return patch.object(store, "net_changes", mutated)


def old_version_forgotten() -> Mutant:
    """Derives affected keys from rows as they are, not as they were."""
    versions = Relation.versions
    return patch.object(Relation, "versions", lambda self, sign=None: versions(self, sign or 1))


def added_for_taken_away() -> Mutant:
    """Adds what a row no longer counts for, instead of taking it away."""
    counted = rollup._counted

    def mutated(*arguments: Any, **options: Any) -> Any:
        return counted(*arguments, **options | {"less": False})

    return patch.object(rollup, "_counted", mutated)


def one_table_affects() -> Mutant:
    """Recomputes only what the first of the changed tables touches."""
    refresh = store.Statements.refresh

    def mutated(self: Any, declared: Any, changed: Iterable[str]) -> bytes:
        return refresh(self, declared, sorted(declared.sources.intersection(changed))[:1])

    return patch.object(store.Statements, "refresh", mutated)


def fence_ignored() -> Mutant:
    """Commits without asking whose the store is."""
    return patch.object(store, "REQUIRE_EPOCH", "select %(store)s::text, %(epoch)s::bigint")


def snapshot_repeated() -> Mutant:
    """Takes a snapshot's row for news when it is read again."""
    return patch.object(Assembler, "has_passed", lambda *_: False)


def _handing_out(order: Callable[[list[Transaction]], list[Transaction]]) -> Mutant:
    take = Assembler.take
    return patch.object(Assembler, "take", lambda self, most: order(take(self, most)))


@contextlib.contextmanager
def both(*mutants: Mutant) -> Iterator[None]:
    """Broken in several places."""
    with contextlib.ExitStack() as stack:
        for mutant in mutants:
            stack.enter_context(mutant)
        yield


MUTANTS: tuple[Make, ...] = (
    position_before_rows,
    position_after_rows,
    repeats_are_new,
    lower_lsns_are_old,
    last_end_is_old,
    rows_counted_not_placed,
    end_is_enough,
    lsn_order,
    rows_by_lsn,
    pending_forgotten,
    old_key_ignored,
    before_trusted,
    placeholder_stored,
    last_record_wins,
    truncate_last,
    old_version_forgotten,
    added_for_taken_away,
    one_table_affects,
    fence_ignored,
    snapshot_repeated,
)

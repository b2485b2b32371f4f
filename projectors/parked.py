"""Sets changes aside that cannot be applied, with everything that comes for their rows after them (decision 0014).

A row of which something is parked stays as it was. What follows for it is parked behind, in order, whether it could be
applied or not; so is what a change of its key leads to. A TRUNCATE and a later snapshot say what became of every row, so
they release what is parked before them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, pairwise

from cdc.assembler import Transaction
from cdc.change import Change
from cdc.errors import BEGIN_ANEW, Poison, Refused, Unreadable
from projectors.checkpoint import Checkpoint, Store
from projectors.letters import DeadLetter, Place, Without, canonical, letter_of, parts, together
from projectors.tally import Tally

logger = logging.getLogger(__name__)


class Parked:
    """The dead letters of one store, and what is blocked by them. Used by one thread at a time."""

    def __init__(
        self,
        store: Store,
        tally: Tally,
        topics: Mapping[str, str],
        conformed: Callable[[Sequence[Transaction]], Sequence[Transaction]],
        parks: Callable[[str], bool],
        most: int,
    ) -> None:
        """``topics``: topic by schema.table; ``conformed``: gives images the columns of today; ``parks``: whether a table's
        changes may be parked; ``most``: letters that the store keeps before it stops."""
        self._store = store
        self._tally = tally
        self._topics = topics
        self._conformed = conformed
        self._refused = 0  # changes, since somebody asked
        self._parks = parks
        self._most = most
        self._letters = {letter.place: letter for letter in store.dead_letters()}
        self.impossible = not (self._letters or any(parks(table) for table in topics))  #: nothing is or can be parked
        self._blocked: dict[tuple[str, bytes], Place] = {}  # by row, the letter that came first
        self._block()

    def sift(
        self, transactions: Sequence[Transaction], outside: Sequence[Change], poisoned: set[int], end_lsn: int
    ) -> tuple[Sequence[Transaction], dict[Place, DeadLetter], set[Place]]:
        """The transactions without what has to be parked, that, and what is released.

        ``outside``: what could not be understood and came in no transaction, after the one that ended at ``end_lsn``;
        ``poisoned``: xids of transactions that may hold something of op x.
        """
        parked: dict[Place, DeadLetter] = {}
        released: set[Place] = set()
        for change in outside:
            self._tally.apply({(self._topics[change.table], change.partition): 1})
            self._park(change, None, end_lsn, change.poison or "", parked)
        if not (self._blocked or poisoned or outside):
            return transactions, parked, released
        kept: list[Transaction] = []
        for transaction in transactions:
            orders: set[int] = set()
            changes = transaction.changes if self._blocked or transaction.xid in poisoned else ()
            for change, half in _with_halves(changes):
                if change.op == "t":
                    released |= self._release_table(change.table, transaction, change.order, parked)
                elif reason := self._why(change, transaction) or self._why_half(half, transaction, ()):
                    self._park(change, transaction, transaction.end_lsn, reason, parked)
                    orders.add(change.order)
            poisoned.discard(transaction.xid)
            kept.append(transaction.with_changes(Without(transaction.changes, orders)) if orders else transaction)
        return kept, parked, released

    def sift_rows(self, changes: Sequence[Change], parked: dict[Place, DeadLetter]) -> Sequence[Change]:
        """A snapshot's rows without those that cannot be understood, which are added to ``parked``."""
        for change in changes:
            if change.op == "x":
                self._park(change, None, change.lsn, change.poison or "", parked)
        return [change for change in changes if change.op != "x"] if parked else changes

    def release_all(self) -> set[Place]:
        """A snapshot is loaded: whatever is parked is out of date."""
        released = set(self._letters)
        for place in released:
            self._tally.release((place.topic, place.partition), "superseded")
        self._letters.clear()
        self._blocked.clear()
        return released

    def refuse(
        self, refusal: Refused, transactions: Sequence[Transaction], checkpoint: Checkpoint
    ) -> tuple[Sequence[Transaction], Checkpoint]:
        """The same batch without the changes that the store does not take. Raises the refusal if they may not be parked,
        or none of them is to blame."""
        if not any(self._parks(table) for table in self._topics):
            raise refusal
        transactions = self._conformed(transactions)
        found = self._store.refused(change for transaction in transactions for change in transaction.changes)
        if not found:
            raise refusal
        by_place: dict[Place, str] = {}
        for (table, partition, offset), why in found.items():
            place = Place(self._topics[table], partition, offset)
            if not self._parks(table):
                raise Refused(
                    f"{place}: {why}; park it and what follows for its row with READSIDE_PARKED_ON_POISON={table}, or "
                    f"{BEGIN_ANEW}"
                )
            by_place[place] = why
        parked: dict[Place, DeadLetter] = {}
        refused: set[Place] = set()
        kept: list[Transaction] = []
        for transaction in transactions:
            orders: set[int] = set()
            for change, half in _with_halves(transaction.changes):
                if change.op == "t":
                    self._release_table(change.table, transaction, change.order, parked)
                elif (
                    reason := by_place.get(self._place_of(change))
                    or self._why(change, transaction)
                    or self._why_half(half, transaction, by_place)
                ):
                    self._park(change, transaction, transaction.end_lsn, reason, parked)
                    refused.add(self._place_of(change))
                    orders.add(change.order)
            kept.append(transaction.with_changes(Without(transaction.changes, orders)) if orders else transaction)
        counts = {
            partition: replace(counts, ignored=dict(counts.ignored)) for partition, counts in checkpoint.counts.items()
        }
        self._refused += len(refused)
        of_batch = Tally(counts)
        for place in refused if counts else ():
            of_batch.park((place.topic, place.partition))
            if place not in parked:
                of_batch.release((place.topic, place.partition), "superseded")
        return kept, replace(
            checkpoint,
            changes=checkpoint.changes - len(refused),
            parked=[*checkpoint.parked, *parked.values()],
            counts=of_batch.counts,
        )

    def carry_out(self, checkpoint: Callable[[int], Checkpoint]) -> None:
        """Do what operators asked for. ``checkpoint``: where the store stands, with so many more changes applied."""
        if not self._letters:
            return  # and nobody pays for a look
        for asked in self._store.asked():
            if (letter := self._letters.get(asked.place)) is None:
                continue
            if asked.action == "drop":
                self._settle([letter], [], checkpoint, drop=True)
                logger.warning("dead letter dropped", extra={"action": "dead_letter_dropped", **letter.logged})
            else:
                self._retry(letter, checkpoint)

    def take_refused(self) -> int:
        """How many changes were refused since this was asked last."""
        refused, self._refused = self._refused, 0
        return refused

    def _retry(self, first: DeadLetter, checkpoint: Callable[[int], Checkpoint]) -> None:
        if first.table not in self._topics:
            logger.warning("its table stands still", extra={"action": "dead_letter_stays", **first.logged})
            return
        applied = 0
        for letters in parts(together(self._letters.values(), first)):
            blamed: dict[Place, str] = {}
            changes: list[Change] = []
            for letter in letters:
                try:
                    changes.append(letter.change)
                except Poison as exc:
                    blamed[letter.place] = str(exc)
            head = letters[0]
            transaction = Transaction(head.xid or 0, head.end_lsn, head.committed_us, changes)
            try:
                if not blamed:
                    self._settle(letters, [transaction], checkpoint, drop=False)
                    applied += len(letters)
                    continue
            except Refused as exc:
                found = self._store.refused(c for t in self._conformed([transaction]) for c in t.changes)
                blamed = {Place(self._topics[of], *where): why for (of, *where), why in found.items()}
                blamed = blamed or {letters[-1].place: str(exc)}
            self._stay(blamed, checkpoint)
            break
        logger.info(
            "dead letters retried", extra={"action": "dead_letters_retried", "applied": applied, **first.logged}
        )

    def _stay(self, blamed: Mapping[Place, str], checkpoint: Callable[[int], Checkpoint]) -> None:
        for place, why in blamed.items():
            letter = self._letters[place] = replace(self._letters[place], reason=why)
            logger.warning("dead letter stays", extra={"action": "dead_letter_stays", "reason": why, **letter.logged})
        again = [self._letters[place] for place in blamed]
        self._store.apply((), replace(checkpoint(0), parked=again, released=list(blamed)))

    def _settle(
        self,
        letters: Sequence[DeadLetter],
        transactions: Sequence[Transaction],
        checkpoint: Callable[[int], Checkpoint],
        *,
        drop: bool,
    ) -> None:
        for letter in letters:
            self._tally.release((letter.place.topic, letter.place.partition), "dropped" if drop else None)
        try:
            position = checkpoint(sum(len(transaction.changes) for transaction in transactions))
            self._store.apply(
                self._conformed(transactions), replace(position, released=[letter.place for letter in letters])
            )
        except Refused:
            for letter in letters:
                self._tally.park((letter.place.topic, letter.place.partition))
            raise
        for letter in letters:
            del self._letters[letter.place]
        self._block()

    def _why_half(self, half: Change | None, transaction: Transaction, refused: Container[Place]) -> str | None:
        """Why a delete is parked because the other ``half`` of its change of key is."""
        if half is None or not (self._place_of(half) in refused or self._why(half, transaction)):
            return None
        return f"before {self._place_of(half)}, the other half of its change of key"

    def _why(self, change: Change, transaction: Transaction) -> str | None:
        if change.op == "x":
            return change.poison
        for key in (change.key, change.old_key):
            if key is None or (first := self._blocked.get((change.table, canonical(key)))) is None:
                continue
            # What names no transaction stands where it lies: behind what was read before it, to be applied only now.
            letter = self._letters[first]
            if letter.xid is not None and letter.position > (transaction.end_lsn, change.order, change.offset):
                continue
            alone = self._letters[first].xid is None and change.partition == first.partition
            if not (alone and change.offset < first.offset):
                return f"behind {first}"
        return None

    def _park(
        self,
        change: Change,
        transaction: Transaction | None,
        end_lsn: int,
        reason: str,
        parked: dict[Place, DeadLetter],
    ) -> None:
        letter = letter_of(change, self._topics[change.table], transaction, end_lsn, reason)
        if len(self._letters) >= self._most:
            raise Unreadable(
                f"{letter.place}: {len(self._letters)} changes are parked already; settle them with `readside "
                "dead-letters`, take a new snapshot, or raise READSIDE_DEAD_LETTERS"
            )
        self._letters[letter.place] = parked[letter.place] = letter
        known = self._blocked.get((letter.table, letter.key))
        if known is None or letter.position < self._letters[known].position:
            self._blocked[letter.table, letter.key] = letter.place
        self._tally.park((letter.place.topic, letter.place.partition))
        logger.warning("change parked", extra={"action": "change_parked", "reason": reason, **letter.logged})

    def _release_table(
        self, table: str, transaction: Transaction, order: int, parked: dict[Place, DeadLetter]
    ) -> set[Place]:
        """Release what is parked of a table before a TRUNCATE; those in ``parked`` are taken out, the others returned."""
        before = (transaction.end_lsn, order)
        places = {p for p, letter in self._letters.items() if letter.table == table and letter.position[:2] < before}
        for place in places:
            del self._letters[place]
            self._tally.release((place.topic, place.partition), "superseded")
        self._block()
        stored = places - parked.keys()
        for place in places & parked.keys():
            del parked[place]
        return stored

    def _block(self) -> None:
        self._blocked = {}
        for letter in sorted(self._letters.values(), key=lambda letter: letter.position):
            self._blocked.setdefault((letter.table, letter.key), letter.place)

    def _place_of(self, change: Change) -> Place:
        return Place(self._topics[change.table], change.partition, change.offset)


def _with_halves(changes: Iterable[Change]) -> Iterator[tuple[Change, Change | None]]:
    """Each change; and with the first half of a change of key, a delete, the second, which comes right behind it: that may
    take columns from the row which the first one deletes, so neither is applied without the other."""
    for change, behind in pairwise(chain(changes, [None])):
        assert change is not None
        yield change, behind if behind is not None and behind.old_key is not None else None

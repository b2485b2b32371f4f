"""A history: what happens to a source, its connector and a projector, in any order, and the laws that hold all the while.

1. At every moment a store holds exactly what the source held at the commit where the store says it stands: whole
   transactions, in commit order, never going back, whatever was repeated, torn, interleaved, reread, crashed or replaced.
2. When everything has been read, it stands at the last commit, nothing is pending, and every read model is equal to its
   oracle on the source and to what its mirror gives anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, LiteralString, cast
from unittest.mock import patch

import psycopg
from psycopg.errors import IntegrityError, LockNotAvailable

from cdc.catalog import read_tables
from cdc.control import Control
from cdc.errors import Fenced, Transient
from cdc.shapes import read_shapes
from projectors.serving import fence
from projectors.tally import unaccounted
from tests.operations import OPERATIONS, SEED, copied_lines
from tests.projection import Projection
from tests.scripted import Committed, ScriptedLog, ScriptedSource
from tests.snapshots import ScriptedSnapshots
from tests.subjects import Crash, Rows, Subject

ALL = 1_000_000  # polls: until nothing is unread


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a transaction: a kind of tests.operations with two small numbers."""

    kind: str
    a: int = 1
    b: int = 1
    undone: bool = False  #: rolled back to a savepoint


class EndsFirst:
    """Reads the transaction topic before all rows: whatever lies in the log is applied in one batch, at the very end."""

    def choice(self, unread: Sequence[Any]) -> Any:
        return unread[-1]

    def randint(self, _least: int, _most: int) -> int:
        return ALL


class Undo(Exception):
    """Rolls back what it is raised in."""


class History:
    """Moves, each checked as it is made. Begin with ``begin``, end with ``settle``."""

    def __init__(self, shop_dsn: str, subject: Subject, directory: Path) -> None:
        self._directory = directory
        self._subject = subject
        self._tables, self._shapes = read_tables(shop_dsn, "readside"), read_shapes(shop_dsn, "readside")
        self._source = ScriptedSource(shop_dsn, ScriptedLog(self._tables))
        self._quick, self._slow = (psycopg.connect(shop_dsn, autocommit=True) for _ in range(2))
        self._projection: Projection | None = None
        self._slow_open = False
        for connection in (self._quick, self._slow):
            connection.execute("set lock_timeout = '3ms'")

    def close(self) -> None:
        self._end()
        for connection in (self._quick, self._slow, self._source.connection):
            connection.close()

    def begin(self, seeded: bool = True) -> None:
        """A few rows in the source, whose snapshot lies in the log; an empty store and its first projector."""
        self._end()
        self._empty_source()
        if seeded:
            self._source.connection.execute(SEED)
        self._source.flush()
        self.log = self._source.log = ScriptedLog(self._tables)
        self._snapshots = ScriptedSnapshots(self._source)
        self._snapshots.control = Control()
        taken = self._snapshots.take()
        self._states: dict[int, Rows] = {}
        self._reached = 0
        self._dead_from: int | None = None
        self._note(0, taken)
        self._subject.wipe()
        self._projection = self._project()

    def commit(self, *steps: Step, undone: bool = False) -> None:
        """A source transaction; sent at once."""
        self.send(self.make(*steps, undone=undone))

    def make(self, *steps: Step, undone: bool = False) -> list[Committed]:
        """A source transaction that is not sent yet; none when it was rolled back or changed nothing."""
        try:
            with self._quick.transaction():
                run(self._quick, steps)
                if undone:
                    raise Undo
        except Undo:
            pass
        return self._committed()

    def slowly(self, *steps: Step) -> None:
        """Steps of a transaction that stays open while others begin and commit; no TRUNCATE, which would make them wait."""
        if not self._slow_open:
            self._slow.execute("begin")
            self._slow_open = True
        run(self._slow, [step for step in steps if "truncate" not in step.kind])

    def finish(self, undone: bool = False) -> None:
        """Commit or roll back the open transaction."""
        if self._slow_open:
            self._slow.execute("rollback" if undone else "commit")
            self._slow_open = False
            self.send(self._committed())

    def pulse(self, times: int = 1) -> None:
        """Transactions that change nothing."""
        for _ in range(times):
            pulse = self._source.pulse()
            self._note(pulse.end_lsn)
            self.send([pulse])

    def send(self, transactions: Iterable[Committed]) -> None:
        """The connector writes these to the log; if it had died, all from its slot on."""
        if self._dead_from is not None:
            self._resend(self.log.transactions[self._dead_from :])
            self._dead_from = None
        else:
            for transaction in transactions:
                self.log.send(transaction)

    def tear(self, *steps: Step, rows: int, back: int) -> None:
        """The connector dies after ``rows`` records of a transaction, and starts again ``back`` transactions before it."""
        self.send(())
        for transaction in self.make(*steps):
            self.log.send(transaction, rows=rows)
            self._resend(self.log.transactions[-1 - back :])

    def repeat(self, back: int, count: int | None = None) -> None:
        """The connector starts again ``back`` transactions before the last one, and dies after ``count`` of them."""
        again = self.log.transactions[-1 - back :]
        self._resend(again[:count])
        if count is not None and count < len(again):
            self._dead_from = len(self.log.transactions) - len(again)

    def resnapshot(self) -> None:
        """The stream ends with everything in it sent; a later snapshot follows, and a new slot goes on from there."""
        self.send(())
        self._note(self._snapshots.take())

    def read(self, seed: int | None = None, polls: int = ALL) -> None:
        """The projector reads on, in an order that ``seed`` chooses; EndsFirst without one."""
        self._advance(polls, seed)
        self._check()

    def restart(self, rewind: int | None = None) -> None:
        """The projector is killed and another begins; with ``rewind``, at earlier offsets than it need."""
        self._live().kill()
        self._projection = self._project(None if rewind is None else Random(rewind))
        self._check()

    def crash(self, statements: int, seed: int | None = None) -> bool:
        """The projector reads on and dies before its n-th statement; another begins. False if it had fewer to run."""
        heal = self._subject.crash_after(self._live().store, statements)
        try:
            self._advance(ALL, seed)
        except Crash:
            self._projection = self._project()
            self._check()
            return True
        finally:
            heal()
        self._check()
        return False

    def usurp(self, *steps: Step, seed: int | None = None) -> None:
        """A second projector takes the store over; the first, which does not know it, reads on and must not commit."""
        self.read(seed)  # it would hold the store while it loads a snapshot, and the second would wait
        self.commit(*steps)
        before, _ = self._stand()
        first = self._live()
        # As if the first had been silent for long, but without ending its session: what is left to keep it out is the epoch.
        with patch.object(fence, "await_turn", lambda *_: None):
            self._projection = self._project()
        try:
            first.advance(ALL, chance(seed))
        except (Fenced, Transient):
            pass
        finally:
            first.kill()
        after, _ = self._stand()
        assert after == before, f"a projector that was replaced moved the store from {before} to {after}"
        self._check()

    def settle(self, seed: int | None = None) -> None:
        """Everything is committed, sent and read: the laws of the end."""
        self.finish()
        self.send(())
        self.read(seed)
        position, _ = self._stand()
        last = self.log.transactions[-1].end_lsn if self.log.transactions else position
        assert position == last, f"the store stands at {position}, and the last commit is {last}"
        self._subject.check_models(self._source.connection, self._live().store)

    def _advance(self, polls: int, seed: int | None) -> None:
        try:
            self._live().advance(polls, chance(seed))
        except Transient:  # it has met a later snapshot, and asks to begin anew
            self._projection = self._project()
            self._live().advance(polls, chance(seed))

    def _resend(self, transactions: Sequence[Committed]) -> None:
        for number, transaction in enumerate(transactions):
            self.log.send(transaction, fresh_start=number == 0)

    def _check(self) -> None:
        position, rows = self._stand()
        if position:
            assert position in self._states, f"the store stands at {position}, where no transaction ended"
            assert position >= self._reached, f"the store went back from {self._reached} to {position}"
            self._reached = position
            expected = self._states[position]
            differing = sorted({name for name, _ in set(rows) ^ set(expected)} or {"doubled rows"})
            assert rows == expected, f"at {position} the store is not what the source was there: {differing}"
            lost = unaccounted(self._subject.counts(self._live().store))
            assert not lost, f"records are neither applied nor ignored nor parked: {lost}"

    def _stand(self) -> tuple[int, Rows]:
        return self._subject.stored(self._live().store)

    def _live(self) -> Projection:
        assert self._projection is not None
        return self._projection

    def _project(self, rewind: Random | None = None) -> Projection:
        return Projection(
            self.log, self._subject.make(self._tables, self._shapes), self._snapshots, self._directory, rewind
        )

    def _committed(self) -> list[Committed]:
        committed = self._source.flush()
        for transaction in committed:
            self._note(transaction.end_lsn)
        return committed

    def _note(self, *positions: int) -> None:
        state = self._subject.expected(self._source.connection, self._tables)
        self._states |= dict.fromkeys(positions, state)

    def _end(self) -> None:
        if self._projection is not None:
            self._projection.kill()
            self._projection = None
        if self._slow_open:
            self._slow.execute("rollback")
            self._slow_open = False

    def _empty_source(self) -> None:
        deletes = "; ".join(f'delete from "{t.schema}"."{t.name}"' for t in self._tables)
        replica = f"set session_replication_role = replica; {deletes}; reset session_replication_role"
        self._source.connection.execute(cast("LiteralString", replica))


def chance(seed: int | None) -> Any:
    """What chooses the order of reading."""
    return EndsFirst() if seed is None else Random(seed)


def run(connection: psycopg.Connection[Any], steps: Sequence[Step]) -> None:
    """Run steps, each in a savepoint; those that a constraint refuses, or that would wait for a lock, change nothing."""
    for step in steps:
        try:
            with connection.transaction():
                if step.kind == "copy lines":
                    copied_lines(connection, step.a, step.b)
                else:
                    connection.execute(
                        OPERATIONS[step.kind].replace("%(a)s", str(step.a)).replace("%(b)s", str(step.b))
                    )
                if step.undone:
                    raise Undo
        except (IntegrityError, LockNotAvailable, Undo):
            continue

"""The serving store's life: taken over by one projector, loaded once, then moved batch by batch.

``_transaction`` opens every store transaction and fences it; nothing else here commits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, LiteralString

from cdc.assembler import Transaction
from cdc.catalog import Table
from cdc.change import Change
from cdc.errors import Refused
from cdc.partitions import Partition
from cdc.shapes import Shapes
from projectors.batch import Segment, net_changes
from projectors.checkpoint import Checkpoint
from projectors.letters import Asked, DeadLetter
from projectors.read_model import Declarations, ReadModel
from projectors.refusal import RecordOf, Undo, refused_among
from projectors.serving import fence, letters
from projectors.serving.building import build, moment
from projectors.serving.changed import Changed
from projectors.serving.giving_up import give_up
from projectors.serving.kept import Kept
from projectors.serving.loading import Loading
from projectors.serving.mirror_indexes import prepare_mirror_indexes
from projectors.serving.moves import Move, moves_of
from projectors.serving.position import move_parameters, read_checkpoint, take_over
from projectors.serving.pushes import Pushes
from projectors.serving.rebuilding import Rebuilding
from projectors.serving.rebuilds import DEFAULT_POLICY, Policy
from projectors.serving.recent import Recent
from projectors.serving.schema import prepare_declared
from projectors.serving.session import connected
from projectors.serving.statements import MOVE, REQUIRE_EPOCH, Statements
from projectors.serving.translated import translated
from projectors.tally import Counts

STORE = "serving"

_LARGE_BATCH = 10_000  # changes that leave more behind than truncating costs
_FEW_CHANGES = 500
_CHANGES_PER_SEGMENT = 20_000
_MOST_PREPARED = 100_000  # changes whose statements are all made before the first is sent


class ServingStore:
    """``Store`` in PostgreSQL."""

    def __init__(
        self,
        dsn: str,
        tables: Sequence[Table],
        declarations: Declarations,
        *,
        shapes: Shapes,
        parks: Callable[[str], bool] = lambda _table: False,
        policy: Policy = DEFAULT_POLICY,
    ) -> None:
        """``dsn`` as a role that owns the store's schemas; ``tables``: the captured ones, all of them are mirrored.

        ``shapes``: the same tables'; ``parks``: whether a table that changed at the source is left as it stands; ``policy``:
        of rebuilds.
        """
        self._dsn, self._make_kept = dsn, partial(Kept, tables, declarations, shapes, parks)
        self._kept = self._make_kept()
        fenced = partial(self._transaction, pipelined=False, many_rows=True)
        self.rebuilding = Rebuilding(dsn, policy, transaction=fenced, take_up=self._take_up)
        self._pushes = Pushes(fenced)
        self._recent, self._changed = Recent(), Changed()
        self._prepared = True  # whether statements are planned once, for few rows

    @property
    def tables(self) -> frozenset[str]:
        """See Store."""
        return frozenset(self._kept.tables)

    @property
    def former(self) -> Mapping[str, Mapping[str, str]]:
        """See Store."""
        return {name: known.former for name, known in self._kept.plan.remember.items()}

    @property
    def doubt(self) -> str | None:
        """See Store."""
        return "; ".join(f"{name}: {why}" for name, why in sorted(self._kept.plan.doubts.items())) or None

    def open(self) -> Checkpoint:
        """See Store. New read models are built from the mirror before this returns; changed ones beside the old (attend)."""
        with translated():
            self._connection = connected(self._dsn)
            fence.await_turn(self._connection, STORE)
            self._epoch = take_over(self._connection, STORE)
            fence.hold(self._connection, self._epoch)
            self._heard_at = time.monotonic()
            checkpoint = read_checkpoint(self._connection, STORE)
            self._pushes.begin(self._connection)
            with self._transaction(pipelined=False, many_rows=True):
                self._set_up(self._kept, checkpoint)
            self._connection.execute(self._statements.create_changed())  # at once: a transaction each, they take 40 ms
            return checkpoint

    def _set_up(self, kept: Kept, checkpoint: Checkpoint) -> None:
        """Bring the store in line with the source's tables and with the versions of declared tables to keep up."""
        kept.follow(self._connection, first=checkpoint.phase == "snapshot")
        tables, declarations = list(kept.tables.values()), kept.declarations
        prepare_mirror_indexes(self._connection, declarations, kept.versions)
        made = prepare_declared(self._connection, tables, declarations, kept.versions.kept, unnoted=kept.doubted)
        kept.await_snapshot(made)
        self._statements = Statements(self._connection, tables, declarations, self._pushes.models)
        kept.park(self._connection, self._statements, made)
        letters.note_incomplete(self._connection, kept.declarations, tables)
        self.rebuilding.resume(self._connection, kept)
        if checkpoint.phase == "streaming":
            # What reads a table in doubt is built from the snapshot that is to come; nobody comes back for the rest.
            build(self._connection, kept, self._statements, (made | kept.stale) - kept.doubted, checkpoint)
        self._kept = kept  # whole: the reading thread prepares a batch by it while this one is still at work

    def _take_up(self) -> None:
        """Keep up other versions from now on."""
        self._connection.execute(self._statements.drop_changed())
        with self._transaction(pipelined=False, many_rows=True):
            self._set_up(self._make_kept(), read_checkpoint(self._connection, STORE))
        self._connection.execute(self._statements.create_changed())

    def attend(self) -> bool:
        """See Store."""
        with translated():
            if self._pushes.look(self._connection):
                self._take_up()
                self._pushes.told(self._connection)
            return self.rebuilding.step(self._connection, self._kept, self._statements)

    def load(self, changes: Iterable[Sequence[Change]], checkpoint: Callable[[], Checkpoint]) -> None:
        """See Store."""
        with self._transaction(pipelined=False, many_rows=True):
            loading = Loading(self._connection, self._statements, self._kept)
            first = read_checkpoint(self._connection, STORE).phase == "snapshot"
            anew = None if first else loading.begin_difference()
            prepare_mirror_indexes(self._connection, self._kept.declarations, self._kept.versions)
            for rows in changes:
                loading.add(rows)
            position = checkpoint()
            if not first:
                changed = self._refresh(loading.compare(moment(position)))
                self._changed.forget(self._execute, self._statements, changed, large=True)
            build(self._connection, self._kept, self._statements, self._kept.begun_by_snapshot(anew), position)
            self._kept.note_told(self._connection)
            self._move(position)

    def prepare(self, transactions: Sequence[Transaction]) -> Callable[[Checkpoint], None]:
        """See Store."""
        count = sum(len(transaction.changes) for transaction in transactions)
        made = self._moves(transactions)
        return partial(self._apply, transactions, count, list(made) if count <= _MOST_PREPARED else made)

    def apply(self, transactions: Sequence[Transaction], checkpoint: Checkpoint) -> None:
        """See Store."""
        self.prepare(transactions)(checkpoint)

    def _moves(self, transactions: Sequence[Transaction]) -> Iterator[tuple[Collection[str], Sequence[Move]]]:
        """By segment, the tables it touches and what brings them there."""
        for segment in net_changes(transactions, self._kept.with_history, _CHANGES_PER_SEGMENT):
            yield segment.keys(), list(moves_of(segment, self._statements, self._kept.histories))

    def _apply(
        self,
        transactions: Sequence[Transaction],
        count: int,
        moves: Iterable[tuple[Collection[str], Iterable[Move]]],
        checkpoint: Checkpoint,
    ) -> None:
        try:
            self._move_to(transactions, count, moves, checkpoint)
        except Refused:
            # For a version that does not serve, or not for long, nothing is to stop.
            attempt = partial(self._move_to, transactions, count, self._moves(transactions), checkpoint)
            if not give_up(self._connection, self._kept, self.rebuilding, attempt):
                raise
            self._apply(transactions, count, self._moves(transactions), checkpoint)

    def _move_to(
        self,
        transactions: Sequence[Transaction],
        count: int,
        moves: Iterable[tuple[Collection[str], Iterable[Move]]],
        checkpoint: Checkpoint,
        begun: Callable[[str], object] | None = None,
    ) -> None:
        """``begun``: is told what is computed, one after the other; then nothing is kept of it. Raises Undo."""
        many_rows = count > _FEW_CHANGES or begun is not None
        # The statements of more than about a segment would pile up on this side, and be sent before they are needed.
        pipelined = count <= _CHANGES_PER_SEGMENT and begun is None
        touched: set[str] = set()
        with self._transaction(pipelined=pipelined, many_rows=many_rows):
            for tables, of_segment in moves:
                self._run(of_segment)
                touched.update(tables)
            changed = self._refresh((self._kept.tables[name] for name in touched), begun)
            if begun is not None:
                raise Undo
            self._changed.forget(self._execute, self._statements, changed, large=count > _LARGE_BATCH)
            self._recent.remember(self._execute, transactions)
            self._move(checkpoint, transactions)

    def refused(self, changes: Iterable[Change]) -> Mapping[RecordOf, str]:
        """See Store."""

        def attempt(segments: Iterable[Segment]) -> None:
            with self._transaction(pipelined=False, many_rows=True):
                for segment in segments:
                    self._run(moves_of(segment, self._statements, self._kept.histories))
                raise Undo

        return refused_among(changes, attempt, self._kept.with_history, _CHANGES_PER_SEGMENT)

    def dead_letters(self) -> Sequence[DeadLetter]:
        """See Store."""
        with translated():
            return letters.stored_letters(self._connection)

    def asked(self) -> Sequence[Asked]:
        """See Store."""
        with self._transaction(pipelined=False):
            return letters.take_up_asked(self._connection)

    def counts(self) -> Mapping[Partition, Counts]:
        """See Store."""
        with translated():
            return letters.stored_counts(self._connection)

    def rest(self) -> None:
        """See Store."""
        if time.monotonic() - self._heard_at > fence.HEARD_S:
            with self._transaction(pipelined=False):
                pass

    def close(self) -> None:
        """See Store."""
        if hasattr(self, "_connection"):  # a store that could not be opened is closed all the same
            self._connection.close()

    def _run(self, moves: Iterable[Move]) -> None:
        for move in moves:
            self._execute(move.render(), None if move.rows is None else {"rows": move.rows})

    def _refresh(self, tables: Iterable[Table], begun: Callable[[str], object] | None = None) -> Collection[str]:
        """Bring everything that reads ``tables`` to where they are; returns the relations of which rows changed."""
        changed = {table.mirror for table in tables}
        for declared in self._kept.declarations.maintained:
            if not changed.isdisjoint(declared.sources):
                if begun is not None:
                    begun(declared.name)
                self._execute(self._statements.refresh(declared, changed))
                for copy in self._statements.copies(declared, changed):
                    self._execute(copy)
                changed.add(declared.reference)
                if declared.name in self._pushes.models and isinstance(declared, ReadModel):
                    self._execute(self._statements.push(declared))
        return changed

    def _move(self, checkpoint: Checkpoint, transactions: Sequence[Transaction] = ()) -> None:
        self._execute(MOVE, move_parameters(STORE, checkpoint, [transaction.xid for transaction in transactions]))
        letters.settle(self._execute, checkpoint)
        if checkpoint.parked or checkpoint.released:
            letters.note_incomplete(self._connection, self._kept.declarations, self._kept.tables.values())

    def _execute(self, query: LiteralString | bytes, parameters: dict[str, Any] | None = None) -> None:
        self._connection.execute(query, parameters, prepare=self._prepared)

    @contextmanager
    def _transaction(self, *, pipelined: bool = True, many_rows: bool = False) -> Generator[None]:
        # Pipelined, everything is one network round trip: the fence first, the commit last. Connection.transaction()
        # would wait for the server at both ends. A failed connection is of no more use: whoever runs on opens another.
        try:
            with translated(), self._connection.pipeline() if pipelined else nullcontext():
                self._execute("begin")
                self._execute(REQUIRE_EPOCH, {"store": STORE, "epoch": self._epoch})
                self._prepared = not many_rows
                if many_rows:
                    self._execute("set local enable_hashjoin = on")
                    self._execute("set local enable_mergejoin = on")
                yield
                self._execute("commit")
            self._heard_at = time.monotonic()
        except (Refused, Undo):
            # Psycopg forgets what it prepared in it; a statement of ours that says the same it would not look at.
            self._connection.rollback()
            raise
        except BaseException:
            self._connection.close()
            raise

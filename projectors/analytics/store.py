"""The analytics store's life: one DuckDB file, one process, one writing thread; ``_transaction`` opens its transactions."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import duckdb

from cdc.assembler import Transaction
from cdc.catalog import Table
from cdc.change import Change
from cdc.partitions import Partition
from cdc.shapes import Shapes
from projectors.analytics import letters
from projectors.analytics.confined import DEFAULT_LIMITS, Confinement, Limits
from projectors.analytics.connection import Connection, checkpoint_if_due, drop_temporary, forked, opened, spilled
from projectors.analytics.deriving import build, refresh, with_changes
from projectors.analytics.incoming import Incoming
from projectors.analytics.kept import Kept
from projectors.analytics.mirroring import Mirroring
from projectors.analytics.position import SCHEMA, move, read_checkpoint
from projectors.analytics.quiet import Quiet
from projectors.analytics.quoting import quoted
from projectors.analytics.rebuild import Rebuild, Rebuilds, Recomputed
from projectors.analytics.translated import translated
from projectors.analytics.unpublished import Unpublished
from projectors.batch import Segment, net_changes
from projectors.checkpoint import START, Checkpoint
from projectors.letters import Asked, DeadLetter
from projectors.read_model import Declarations
from projectors.refusal import RecordOf, Undo, refused_among
from projectors.tally import Counts

_CHANGES_PER_SEGMENT = 20_000
_MOST_PREPARED = 100_000  # changes that are made net all at once


class AnalyticsStore:
    """``Store`` in DuckDB. Other threads read through ``cursor()`` and wait with ``wait_for()``."""

    def __init__(
        self,
        path: Path,
        tables: Sequence[Table],
        declarations: Declarations,
        *,
        memory_limit: str,
        shapes: Shapes,
        limits: Limits = DEFAULT_LIMITS,
        parks: Callable[[str], bool] = lambda _table: False,
        committed: Callable[[Checkpoint, int], None] = lambda _checkpoint, _revision: None,
        unpublished: Unpublished | None = None,
    ) -> None:
        """``path``: the file, made if missing; of ``tables`` those that ``declarations`` read are mirrored.

        ``limits``: of the processes that run ad hoc SQL; ``shapes``: the tables'; ``parks``: whether a table that changed
        at the source is left as it stands; ``committed``: called by the writing thread between two transactions, with its
        ``revision``; ``unpublished``: notes for whoever publishes then.
        """
        self._path = path
        self._quiet = Quiet()
        self.confinement = Confinement(self._quiet, limits, keep=[path])
        self._kept = Kept(tables, declarations, shapes, parks, unpublished or Unpublished(kept=False))
        self._memory_limit = memory_limit
        self._committed = committed
        self._incoming = Incoming()
        self._moved = threading.Condition()
        self._asked: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        self.checkpoint: Checkpoint = START
        self.commits, self.committed_at = 0, 0.0  #: how many since it was opened, and the last one's time.monotonic()
        #: Rises with every commit that may have changed rows, so not with a pulse; and is never that of a store before it.
        self.revision = time.monotonic_ns()
        self.rebuilds = Rebuilds()

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
        """See Store. Raises Fatal when another process holds the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = opened(self._path, self._memory_limit, self._quiet)
        self._connection.raw.register("incoming", self._incoming)
        with self._transaction():
            self._connection.execute(SCHEMA)
            self.checkpoint = read_checkpoint(self._connection)
            self._kept.follow(self._connection)
            self._mirroring = Mirroring(self._kept, self._incoming, self._connection.execute_all)
            made = self._kept.prepare_declared(self._connection)
            self._kept.begin_unpublished(self._connection)
            self._kept.park(self._connection, made)
            self._kept.count_letters(letters.by_table(self._connection))
            if self.checkpoint.phase == "streaming":
                self._mirroring.tell_of_snapshot(made - self._kept.untold, self.checkpoint)
                # What reads a table in doubt is built from the snapshot that is to come; nobody comes back for the rest.
                build(self._connection, self._kept, (made | self._kept.stale) - self._kept.doubted)
                drop_temporary(self._connection)
        return self.checkpoint

    def load(self, changes: Iterable[Sequence[Change]], checkpoint: Callable[[], Checkpoint]) -> None:
        """See Store."""
        first = self.checkpoint.phase == "snapshot"
        with self._transaction():
            doubtful = self._kept.make_doubtful_anew(self._connection)
            if doubtful:
                self._kept.park(self._connection, self._kept.untold)
                self._kept.count_letters(letters.by_table(self._connection))
            if not first:
                self._mirroring.begin_snapshot()
            for rows in changes:
                self._mirroring.load(rows, first=first)
            position = checkpoint()
            if first:
                self._mirroring.tell_of_snapshot(self._kept.history_columns, position)
                build(self._connection, self._kept, {declared.name for declared in self._kept.maintained})
            else:
                self._apply_snapshot(position)
                self._mirroring.tell_of_snapshot(self._kept.untold, position)
                build(self._connection, self._kept, self._kept.readers_of(doubtful) | self._kept.stale)
            self._kept.note_told(self._connection)
            drop_temporary(self._connection)
            self._move(position)
        self._announce(position)

    def prepare(self, transactions: Sequence[Transaction]) -> Callable[[Checkpoint], None]:
        """See Store."""
        segments: Iterable[Segment] = net_changes(transactions, self._kept.with_history, _CHANGES_PER_SEGMENT)
        if sum(len(transaction.changes) for transaction in transactions) <= _MOST_PREPARED:
            segments = list(segments)
        return partial(self._apply, segments)

    def apply(self, transactions: Sequence[Transaction], checkpoint: Checkpoint) -> None:
        """See Store."""
        self.prepare(transactions)(checkpoint)

    def _apply(self, segments: Iterable[Segment], checkpoint: Checkpoint) -> None:
        touched: dict[str, None] = {}
        with self._transaction():
            for segment in segments:
                for name, changes in segment.items():
                    if name not in touched:
                        self._mirroring.begin(name)
                        touched[name] = None
                    self._mirroring.apply(name, changes)
            self._kept.unpublished.forget(self._connection)
            refresh(self._connection, self._kept, touched)
            drop_temporary(self._connection)
            self._move(checkpoint)
        self._announce(checkpoint, rows=bool(touched))

    def refused(self, changes: Iterable[Change]) -> Mapping[RecordOf, str]:
        """See Store."""

        def attempt(segments: Iterable[Segment]) -> None:
            with self._transaction():
                for segment in segments:
                    for name, table in segment.items():
                        self._mirroring.begin(name)
                        self._mirroring.apply(name, table)
                raise Undo

        return refused_among(changes, attempt, self._kept.with_history, _CHANGES_PER_SEGMENT)

    def dead_letters(self) -> Sequence[DeadLetter]:
        """See Store. From any thread."""
        with closing(self.cursor()) as cursor:
            return letters.stored_letters(cursor)

    @property
    def incomplete(self) -> Mapping[str, str]:
        """Why rows of read models may be behind, by model; from any thread."""
        return self._kept.incomplete

    @property
    def dead_letter_count(self) -> int:
        """How many changes are parked; from any thread."""
        return self._kept.dead_letters

    def row_counts(self) -> Mapping[str, int]:
        """How many rows each read model has of which there is a table: none before it is open. From any thread."""
        if not hasattr(self, "_connection"):
            return {}
        with closing(self.cursor()) as cursor:
            tables = cursor.execute(
                "select table_name from duckdb_tables() where schema_name = 'main' and database_name = current_database()"
            ).fetchall()
            there = [name for name in self._kept.read_models if (name,) in tables]
            counted = {name: cursor.execute(f"select count(*) from main.{quoted(name)}") for name in there}
        return {name: found.fetchone()[0] for name, found in counted.items()}

    def ask(self, asked: Asked) -> None:
        """Have the projector do what an operator wants; from any thread."""
        if self._kept.dead_letters:  # else nobody would take it up
            self._asked.put(asked)

    def asked(self) -> Sequence[Asked]:
        """See Store."""
        return [self._asked.get_nowait() for _ in range(self._asked.qsize())]

    def counts(self) -> Mapping[Partition, Counts]:
        """See Store. From any thread."""
        with closing(self.cursor()) as cursor:
            return letters.stored_counts(cursor)

    def attend(self) -> bool:
        """See Store. A rebuild that was asked for is made whole at once, as one statement after the other allows."""
        return self.rebuilds.take_up(self._rebuild)

    def _rebuild(self, asked: Rebuild) -> Mapping[str, Recomputed]:
        with self._transaction():
            found = build(self._connection, self._kept, self._kept.with_readers(asked.names), compare=True)
            drop_temporary(self._connection)
        self._announce(self.checkpoint)
        return found

    def rest(self) -> None:
        """See Store. DuckDB's lock on the file lasts as long as the process."""

    def close(self) -> None:
        """See Store."""
        if hasattr(self, "_connection"):  # a store that could not be opened is closed all the same
            self.confinement.close()
            with suppress(duckdb.FatalException):  # after one DuckDB does nothing more than be closed
                self._connection.raw.unregister("incoming")
            self._connection.close()

    def cursor(self) -> Connection:
        """A connection of its own for a reading thread, which closes it: left to Python, it would not wait for a fork."""
        return self._connection.cursor()

    def forked_cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection for a confined process, whose copy of the store may take more memory."""
        return forked(self._connection, self.confinement.limits.memory_bytes)

    @property
    def spilled(self) -> bool:
        """Whether some of it lies in DuckDB's temporary files; for a confined process, which may not read them."""
        return spilled(self._connection.raw.cursor())

    @property
    def directory(self) -> Path:
        """Where its file lies."""
        return self._path.parent.resolve()

    def wait_for(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something holds that a commit brings about; False when it does not in time. From any thread."""
        with self._moved:
            return self._moved.wait_for(holds, timeout_s)

    def _apply_snapshot(self, position: Checkpoint) -> None:
        self._mirroring.apply_snapshot(position)
        refresh(self._connection, self._kept, with_changes(self._connection, self._kept))

    def _move(self, checkpoint: Checkpoint) -> None:
        move(self._connection, checkpoint)
        letters.settle(self._connection, checkpoint)
        if checkpoint.parked or checkpoint.released:
            self._kept.count_letters(letters.by_table(self._connection))

    def _announce(self, checkpoint: Checkpoint, *, rows: bool = True) -> None:
        """``rows``: whether the commit may have changed some."""
        with self._moved:
            self.checkpoint = checkpoint
            self.revision += rows
            self.commits, self.committed_at = self.commits + 1, time.monotonic()
            self._moved.notify_all()
        with translated():
            checkpoint_if_due(self._connection, self._path, self.confinement)
        self._committed(checkpoint, self.revision)

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._connection.execute("begin transaction")
        try:
            with translated():
                yield
        except BaseException:
            self._kept.unpublished.rolled_back()
            self._connection.execute("rollback")
            raise
        with translated():
            self._connection.execute("commit")

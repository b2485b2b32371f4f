"""The projector: reads Kafka, assembles whole source transactions, and moves its store forward. Knows no store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from cdc.assembler import Transaction
from cdc.catalog import Table
from cdc.change import Change
from cdc.control import Control, Snapshot, read_control, request_snapshot
from cdc.errors import Fatal, Fenced, Refused, Transient
from cdc.partitions import Partition, packed
from cdc.reader import LogReader, read_up_to
from config.settings import Settings
from projectors.applying import Applying, Ready
from projectors.checkpoint import Checkpoint, Store
from projectors.images import Images
from projectors.intake import Intake
from projectors.letters import DeadLetter, Place
from projectors.metrics import Metrics
from projectors.pace import AT_ONCE, Pace, Rhythm
from projectors.parked import Parked
from projectors.rate import Rate
from projectors.snapshots import Snapshots
from projectors.starts import starts
from projectors.tally import Counts, Tally
from projectors.watch import Watch

logger = logging.getLogger(__name__)


class Projector:
    """One store's way forward. ``run`` is the only method to call, and only once."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        tables: Sequence[Table],
        reader: LogReader,
        *,
        rhythm: Rhythm = AT_ONCE,
        watch: Watch | None = None,
        control: Callable[[], Control] | None = None,
        request: Callable[[str], None] | None = None,
        parks: Callable[[str], bool] = lambda _table: False,
        metrics: Metrics | None = None,
    ) -> None:
        """``watch``: says when ``tables`` are not the source's any more. ``control``: what is known of snapshots in the log;
        ``request``: asks for another one. By default the control topic serves for both. ``parks``: whether a table's
        changes are parked that cannot be applied; the store stops otherwise.
        """
        self._settings = settings
        self._store = store
        self._reader = reader
        self._rhythm = rhythm
        self._snapshots = Snapshots(
            store,
            control or partial(read_control, settings.kafka, settings.topic_prefix),
            request or partial(request_snapshot, settings.kafka, settings.topic_prefix),
            watch,
        )
        self._watch = watch
        self._captured = tables
        self._parks = parks
        self._metrics = metrics
        self._rate = Rate()

    def run(self, stop: threading.Event) -> None:
        """Project until ``stop`` is set. Raises Transient (run a new one after a pause) and Fatal."""
        checkpoint = self._store.open()
        self._tables = [table for table in self._captured if table.qualified in self._store.tables]
        self._tally = Tally(self._store.counts(), self._rhythm.counts_s)
        self._intake = Intake(self._settings, self._tables, self._tally, self._parks, self._snapshots)
        self._images = Images(self._tables, self._store.former, self._watch.look if self._watch else lambda: True)
        self._parked = Parked(
            self._store,
            self._tally,
            self._intake.topic_of,
            self._images.conformed,
            self._parks,
            self._settings.dead_letters,
        )
        if self._metrics is not None:
            self._intake.traces = self._metrics.traces
            self._metrics.begun(checkpoint, self._tally.counts, lambda: self._intake.assembler.buffered)
        if checkpoint.phase == "streaming":
            self._intake.generation = checkpoint.state.get("generation", 1)
        while snapshot := self._snapshots.choose(
            self._intake.generation, streaming=checkpoint.phase == "streaming", stop=stop
        ):
            if checkpoint.phase == "streaming" and self._store.doubt is None:
                checkpoint = self._finish(checkpoint, self._snapshots.end_of(self._intake.generation))
            checkpoint = self._load(snapshot, checkpoint)
        if checkpoint.phase == "streaming" and not stop.is_set():
            self._stream(checkpoint, stop)
        if self._intake.superseded and self._snapshots.await_next(self._intake.generation, stop):
            raise Transient(
                "a newer snapshot lies in Kafka; beginning anew, to load it with the source's present columns"
            )

    def _finish(self, checkpoint: Checkpoint, ends: Mapping[Partition, int]) -> Checkpoint:
        """Apply what is whole of the stream up to ``ends``, where the next snapshot follows: histories want to know it."""
        try:
            self._intake.take_up(checkpoint.state, self._reader)
            known = starts(self._reader, self._intake.topics_read, checkpoint.state)
            begins = {p: offset for p, offset in known.items() if p in ends and offset < ends[p]}
            unread = {partition: ends[partition] for partition in begins}
            if unread:
                self._reader.assign(begins)
            while unread:
                self._hold_back(unread)
                for record in read_up_to(self._reader, unread, self._settings.batch_changes):
                    self._intake.feed(record)
                while taken := self._intake.assembler.take(self._settings.batch_changes):
                    transactions, checkpoint = self._after(taken, checkpoint)
                    self._store_batch(self._prepare(transactions), transactions, checkpoint)
        except Fenced:
            raise
        except Fatal as exc:
            # The newer snapshot is the way out of just that.
            logger.warning(str(exc), extra={"action": "stream_left_unfinished"})
        self._reader.only(None)
        return checkpoint

    def _load(self, snapshot: Snapshot, before: Checkpoint) -> Checkpoint:
        ranges = {p: r for p, r in snapshot.partitions().items() if p[0] in self._intake.topics_read}
        self._intake.generation = snapshot.generation
        self._intake.superseded = False
        begins = {partition: begin for partition, (begin, _) in ranges.items()}
        # What lies before it was of the stream that it supersedes, and means nothing should it be read once more.
        self._intake.take_up({"frontier": packed(begins), "restart": packed(begins)}, self._reader, superseded=True)
        self._reader.assign(begins)
        parked: dict[Place, DeadLetter] = {}
        released = self._parked.release_all()
        newest = {"lsn": 0, "committed_us": 0}

        def rows() -> Iterator[Sequence[Change]]:
            unread = {partition: end for partition, (begin, end) in ranges.items() if end > begin}
            while unread:
                changes: list[Change] = []
                self._reader.only(unread)  # what lies behind the snapshot is not read ahead of the rest of it
                for record in read_up_to(self._reader, unread, self._settings.batch_changes):
                    change = self._intake.feed(record, in_snapshot=True)
                    if change is not None:
                        self._tally.of(record.partition).applied += 1
                        changes.append(change)
                        newest["lsn"] = max(newest["lsn"], change.lsn)
                        newest["committed_us"] = max(newest["committed_us"], change.committed_us)
                if kept := self._parked.sift_rows(changes, parked):
                    yield self._images.conformed_rows(kept)

        def position() -> Checkpoint:
            return Checkpoint(
                phase="streaming",
                end_lsn=newest["lsn"],
                committed_us=newest["committed_us"] or None,
                changes=before.changes,
                rate=before.rate,
                # What ended before the snapshot's own position is in it, should a late record say so again.
                state=self._intake.state() | {"end_lsn": newest["lsn"]},
                parked=list(parked.values()),
                released=list(released),
                counts=self._counts(now=True),
            )

        reached: list[Checkpoint] = []

        def once() -> Checkpoint:
            reached.append(position())
            return reached[0]

        began = time.perf_counter()
        self._store.load(rows(), once)
        self._observe((), reached[0], began)
        logger.info("snapshot loaded", extra={"action": "snapshot_loaded", "generation": snapshot.generation})
        return reached[0]

    def _stream(self, checkpoint: Checkpoint, stop: threading.Event) -> None:
        with Applying(self._prepare, self._store_batch) as applying:
            self._follow(checkpoint, applying, stop)

    def _follow(self, checkpoint: Checkpoint, applying: Applying, stop: threading.Event) -> None:
        intake = self._intake
        intake.take_up(checkpoint.state, self._reader)
        begins = starts(self._reader, intake.topics_read, checkpoint.state)
        self._reader.assign(begins)
        self._partitions = frozenset(begins)
        batch_changes, buffered_changes = self._settings.batch_changes, self._settings.buffered_changes
        pace = Pace(batch_changes=batch_changes, buffered_changes=buffered_changes, rhythm=self._rhythm)
        assembler, attending = intake.assembler, False
        while not stop.is_set():
            if (rest_s := pace.rest_s(assembler.buffered)) > 0:
                stop.wait(rest_s)
            self._hold_back()
            wait_s = pace.poll_s(behind=assembler.has_whole or attending)
            records = self._reader.poll(wait_s, batch_changes)
            pace.polled(records)
            for record in records:
                intake.feed(record)
                if intake.superseded:
                    return  # what has been fed may lie behind the newer snapshot: nothing of it is taken
            if self._watch is not None and self._watch.changed is not None:
                raise _begin_anew(self._watch)
            if attending or applying.idle:
                applying.finish()
                attending = self._store.attend()
                self._store.rest()
                if pace.looks_for_letters():
                    checkpoint = self._carry_out(checkpoint)
            if not records or assembler.buffered > buffered_changes:
                intake.require_coming(self._partitions, self._reader)
            takes = pace.takes(applying, assembler, ahead=self._parked.impossible)
            if takes and (taken := assembler.take(batch_changes)):
                if not self._parked.impossible:
                    applying.finish()  # what is parked by the one under way decides what is parked of this one
                transactions, checkpoint = self._after(taken, checkpoint)
                applying.apply(transactions, checkpoint)
                pace.taken()
            if intake.outside:
                applying.finish()
                transactions, checkpoint = self._after((), checkpoint)
                applying.apply(transactions, checkpoint)

    def _carry_out(self, checkpoint: Checkpoint) -> Checkpoint:
        """What operators asked for, at a moment when nothing is being applied."""
        reached = replace(checkpoint, parked=(), released=())

        def position(changes: int) -> Checkpoint:
            nonlocal reached
            reached = replace(reached, changes=reached.changes + changes, counts=self._counts(now=True))
            return reached

        self._parked.carry_out(position)
        return reached

    def _hold_back(self, unread: Collection[Partition] | None = None) -> None:
        """``unread``: the partitions of which anything is to come; all of them by default."""
        # A backlog is not read evenly: without this, one topic's rows would pile up until the others catch up.
        full = self._intake.assembler.buffered > self._settings.buffered_changes
        self._reader.only((self._intake.lacking(unread or self._partitions) or unread) if full else unread)

    def _after(self, taken: Sequence[Transaction], before: Checkpoint) -> tuple[Sequence[Transaction], Checkpoint]:
        """What of these transactions is applied, and where the store stands then."""
        intake, tally = self._intake, self._tally
        for transaction in taken:
            tally.apply(transaction.records)
        outside, intake.outside = intake.outside, []
        kept, parked, released = self._parked.sift(taken, outside, intake.poisoned, before.end_lsn)
        count = sum(len(transaction.changes) for transaction in kept)
        before = replace(before, changes=before.changes - self._parked.take_refused())
        self._rate.add(count)
        return kept, Checkpoint(
            phase="streaming",
            end_lsn=taken[-1].end_lsn if taken else before.end_lsn,
            committed_us=taken[-1].committed_us if taken else before.committed_us,
            changes=before.changes + count,
            rate=self._rate.per_second(),
            state=intake.state(),
            parked=list(parked.values()),
            released=list(released),
            counts=self._counts(now=bool(parked or released)),
        )

    def _counts(self, *, now: bool) -> Mapping[Partition, Counts]:
        if not self._tally.due(now=now):
            return {}
        self._intake.repeated()
        return self._tally.settled(self._intake.waiting())

    def _prepare(self, transactions: Sequence[Transaction]) -> Ready:
        return self._store.prepare(self._images.conformed(transactions))

    def _store_batch(self, apply: Ready, transactions: Sequence[Transaction], checkpoint: Checkpoint) -> None:
        began = time.perf_counter()
        while True:
            try:
                apply(checkpoint)
            except Fatal as exc:
                if self._watch is not None and not self._watch.look():
                    raise _begin_anew(self._watch) from exc  # a value of a type that the mirror does not have yet
                if not isinstance(exc, Refused):
                    raise
                transactions, checkpoint = self._parked.refuse(exc, transactions, checkpoint)
                apply = self._prepare(transactions)
            else:
                return self._observe(transactions, checkpoint, began)

    def _observe(self, transactions: Sequence[Transaction], checkpoint: Checkpoint, began: float) -> None:
        if self._metrics is not None:
            self._metrics.applied(transactions, checkpoint, began)


def _begin_anew(watch: Watch) -> Transient:
    return Transient(f"{watch.changed} changed at the source; beginning anew with its catalogue")

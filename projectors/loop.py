"""The projector: reads Kafka, assembles whole source transactions, and moves its store forward. Knows no store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from cdc import canary
from cdc.assembler import Assembler, Partition, Transaction, unpacked
from cdc.catalog import Table, message_topic, topics_of, transaction_topic
from cdc.change import Change, decode_change, decode_end
from cdc.control import Control, Snapshot, barrier_generation, read_control, request_snapshot
from cdc.errors import Fatal, HistoryLost, Poison, SourceChanged, Transient
from cdc.reader import LogReader, Record, require_same_topic
from config.settings import Settings
from projectors.applying import Applying
from projectors.checkpoint import Checkpoint, Store
from projectors.images import Images
from projectors.rate import Rate
from projectors.snapshots import Snapshots
from projectors.starts import starts
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
        interval_s: float = 0.0,
        watch: Watch | None = None,
        control: Callable[[], Control] | None = None,
        request: Callable[[str], None] | None = None,
    ) -> None:
        """``interval_s``: the least time between two commits; 0 commits whatever has come in at once.

        ``watch``: says when ``tables`` are not the source's any more. ``control``: what is known of snapshots in the log;
        ``request``: asks for another one. By default the control topic serves for both.
        """
        self._settings = settings
        self._store = store
        self._reader = reader
        self._interval_s = interval_s
        self._snapshots = Snapshots(
            store,
            control or partial(read_control, settings.kafka, settings.topic_prefix),
            request or partial(request_snapshot, settings.kafka, settings.topic_prefix),
            watch,
        )
        self._watch = watch
        self._captured = tables
        self._transaction_topic = transaction_topic(settings.topic_prefix)
        self._message_topic = message_topic(settings.topic_prefix)
        self._rate = Rate()
        self._generation = 0  # of the snapshot that the store was loaded from last
        self._superseded = False  # a record of a later snapshot was read

    def run(self, stop: threading.Event) -> None:
        """Project until ``stop`` is set. Raises Transient (run a new one after a pause) and Fatal."""
        checkpoint = self._store.open()
        self._tables = [table for table in self._captured if table.qualified in self._store.tables]
        self._topics = topics_of(self._settings.topic_prefix, self._tables)
        self._topics_read = frozenset({*self._topics, self._transaction_topic, self._message_topic})
        self._images = Images(self._tables, self._store.former, self._watch.look if self._watch else lambda: True)
        if checkpoint.phase == "streaming":
            self._generation = checkpoint.state.get("generation", 1)
        while snapshot := self._snapshots.choose(
            self._generation, streaming=checkpoint.phase == "streaming", stop=stop
        ):
            if checkpoint.phase == "streaming" and self._store.doubt is None:
                checkpoint = self._finish(checkpoint, unpacked(snapshot.since))
            checkpoint = self._load(snapshot, checkpoint)
        if checkpoint.phase == "streaming" and not stop.is_set():
            self._stream(checkpoint, stop)
        if self._superseded and self._snapshots.await_next(self._generation, stop):
            raise Transient(
                "a newer snapshot lies in Kafka; beginning anew, to load it with the source's present columns"
            )

    def _finish(self, checkpoint: Checkpoint, ends: Mapping[Partition, int]) -> Checkpoint:
        """Apply what is whole of the stream up to ``ends``, where a newer snapshot follows: histories want to know it."""
        try:
            self._take_up(checkpoint.state)
            known = starts(self._reader, self._topics_read, checkpoint.state)
            begins = {p: offset for p, offset in known.items() if p in ends and offset < ends[p]}
            unread = {partition: ends[partition] for partition in begins}
            if unread:
                self._reader.assign(begins)
            while unread:
                self._hold_back(unread)
                for record in self._read_up_to(unread):
                    self._feed(record)
                while transactions := self._assembler.take(self._settings.batch_changes):
                    checkpoint = self._after(transactions, checkpoint)
                    self._store_batch(transactions, checkpoint)
        except (HistoryLost, SourceChanged) as exc:
            # The newer snapshot is the way out of just that.
            logger.warning(str(exc), extra={"action": "stream_left_unfinished"})
        self._reader.only(None)
        return checkpoint

    def _load(self, snapshot: Snapshot, before: Checkpoint) -> Checkpoint:
        ranges = {p: r for p, r in snapshot.partitions().items() if self._reads(p)}
        self._generation = snapshot.generation
        self._superseded = False
        self._take_up({})
        for partition, (begin, _) in ranges.items():
            self._assembler.passed(partition, begin - 1)
        self._reader.assign({partition: begin for partition, (begin, _) in ranges.items()})
        newest = {"lsn": 0, "committed_us": 0}

        def rows() -> Iterator[Sequence[Change]]:
            unread = {partition: end for partition, (begin, end) in ranges.items() if end > begin}
            while unread:
                changes: list[Change] = []
                self._reader.only(unread)  # what lies behind the snapshot is not read ahead of the rest of it
                for record in self._read_up_to(unread):
                    change = self._feed(record, in_snapshot=True)
                    if change is not None:
                        changes.append(change)
                        newest["lsn"] = max(newest["lsn"], change.lsn)
                        newest["committed_us"] = max(newest["committed_us"], change.committed_us)
                if changes:
                    yield self._images.conformed_rows(changes)

        def position() -> Checkpoint:
            return Checkpoint(
                phase="streaming",
                end_lsn=newest["lsn"],
                committed_us=newest["committed_us"] or None,
                changes=before.changes,
                rate=before.rate,
                # What ended before the snapshot's own position is in it, should a late record say so again.
                state=self._state() | {"end_lsn": newest["lsn"]},
            )

        self._store.load(rows(), position)
        logger.info("snapshot loaded", extra={"action": "snapshot_loaded", "generation": snapshot.generation})
        return position()

    def _read_up_to(self, unread: dict[Partition, int]) -> Iterator[Record]:
        """A poll's records before these offsets; partitions read that far are taken out of ``unread``."""
        for record in self._reader.poll(1.0, self._settings.batch_changes):
            end = unread.get(record.partition, 0)
            if record.offset < end:
                yield record
            if record.offset + 1 >= end:
                unread.pop(record.partition, None)

    def _stream(self, checkpoint: Checkpoint, stop: threading.Event) -> None:
        with Applying(self._store_batch) as applying:
            self._follow(checkpoint, applying, stop)

    def _follow(self, checkpoint: Checkpoint, applying: Applying, stop: threading.Event) -> None:
        self._take_up(checkpoint.state)
        begins = starts(self._reader, self._topics_read, checkpoint.state)
        self._reader.assign(begins)
        self._partitions = frozenset(begins)
        committed_at = 0.0
        while not stop.is_set():
            behind = self._assembler.has_whole  # there was no room for it, or it was too much at once
            enough = self._assembler.buffered >= self._settings.batch_changes
            wait_s = 0.0 if enough else max(0.0, committed_at + self._interval_s - time.monotonic())
            self._hold_back()
            for record in self._reader.poll(0.01 if behind else 0.5, self._settings.batch_changes):
                self._feed(record)
                if self._superseded:
                    return  # what has been fed may lie behind the newer snapshot: nothing of it is taken
            if self._watch is not None and self._watch.changed is not None:
                raise Transient(f"{self._watch.changed} changed at the source; beginning anew with its catalogue")
            if applying.idle:
                applying.finish()
                self._store.rest()
            if wait_s > 0:
                stop.wait(wait_s)
            # While a large batch is applied, the next one is read, as far as there is room.
            room = self._assembler.buffered <= self._settings.buffered_changes
            if (applying.idle or not room) and (transactions := self._assembler.take(self._settings.batch_changes)):
                checkpoint = self._after(transactions, checkpoint)
                applying.apply(transactions, checkpoint)
                committed_at = time.monotonic()

    def _hold_back(self, unread: Collection[Partition] | None = None) -> None:
        """``unread``: the partitions of which anything is to come; all of them by default."""
        # A backlog is not read evenly: without this, one topic's rows would pile up until the others catch up.
        wanted = unread
        if self._assembler.buffered > self._settings.buffered_changes:
            lacking = self._assembler.lacking()
            topics = {topic for topic, table in self._topics.items() if table.qualified in lacking}
            topics.add(self._transaction_topic)
            wanted = {partition for partition in unread or self._partitions if partition[0] in topics}
            if not wanted:
                wanted = unread  # the next transaction was torn off and never gets whole
        self._reader.only(wanted)

    def _after(self, transactions: Sequence[Transaction], before: Checkpoint) -> Checkpoint:
        count = sum(len(transaction.changes) for transaction in transactions)
        self._rate.add(count)
        return Checkpoint(
            phase="streaming",
            end_lsn=transactions[-1].end_lsn,
            committed_us=transactions[-1].committed_us,
            changes=before.changes + count,
            rate=self._rate.per_second(),
            state=self._state(),
        )

    def _store_batch(self, transactions: Sequence[Transaction], checkpoint: Checkpoint) -> None:
        try:
            self._store.apply(self._images.conformed(transactions), checkpoint)
        except Fatal as exc:
            if self._watch is None or self._watch.look():
                raise
            # A value of a type that the mirror does not have yet.
            raise Transient(f"{self._watch.changed} changed at the source; beginning anew with its catalogue") from exc

    def _feed(self, record: Record, *, in_snapshot: bool = False) -> Change | None:
        """Hand a record to the assembler; a snapshot's row is returned instead."""
        partition, offset, value = record.partition, record.offset, record.value
        try:
            if value is None:  # a tombstone, after each delete; or a barrier
                self._assembler.passed(partition, offset)
                if record.headers and (barrier_generation(record.headers) or 0) > self._generation:
                    self._superseded = True
                return None
            if partition[0] == self._transaction_topic:
                end = decode_end(value)
                if end is None:
                    self._assembler.passed(partition, offset)
                else:
                    self._assembler.add_end(partition, offset, end)
                return None
            if partition[0] == self._message_topic:
                self._assembler.passed(partition, offset)
                self._see_canary(value)
                return None
            change = decode_change(value, record.key, record.headers)
        except Poison as exc:
            raise Fatal(
                f"{partition[0]}[{partition[1]}]@{offset}: {exc}; the store stops here rather than skip it"
            ) from exc
        if change is None:
            self._assembler.passed(partition, offset)
        elif change.op != "r":
            self._assembler.add(partition, offset, change)
        elif in_snapshot:
            self._assembler.passed(partition, offset)
            return change
        elif not self._assembler.has_passed(partition, offset):
            if not self._snapshots.on_its_way(self._generation):
                raise Fatal(
                    f"{partition[0]}[{partition[1]}]@{offset} is a row of a snapshot that readside did not take; "
                    "take one with `python -m cdc snapshot` to bring this store in line"
                )
            self._superseded = True
        return None

    def _state(self) -> dict[str, Any]:
        own = {"generation": self._generation, "topics": self._topic_ids, "canaries": self._canaries.state()}
        return self._assembler.state() | own

    def _see_canary(self, value: bytes) -> None:
        try:
            self._canaries.see(value)
        except HistoryLost:
            if not self._snapshots.on_its_way(self._generation):
                raise
            self._superseded = True  # a new snapshot has a slot of its own: the canaries in between came nowhere

    def _take_up(self, state: Mapping[str, Any]) -> None:
        """Read on as whoever had this state; raises SourceChanged when a topic was made anew since."""
        self._canaries = canary.Watch(state.get("canaries"))
        self._assembler = Assembler(
            (table.qualified for table in self._tables),
            self._transaction_topic,
            state,
            spool=self._settings.data_dir / "spool",
            most_in_memory=self._settings.buffered_changes // 5,
        )
        self._topic_ids = self._reader.topic_ids(sorted(self._topics_read))
        for topic, known in state.get("topics", {}).items():
            require_same_topic(topic, known, self._topic_ids.get(topic, ""))

    def _reads(self, partition: Partition) -> bool:
        return partition[0] in self._topics_read

"""The projector: reads Kafka, assembles whole source transactions, and moves its store forward. Knows no store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from cdc.assembler import Assembler, Partition, Transaction, unpacked
from cdc.catalog import Table, topics_of, transaction_topic
from cdc.change import Change, decode_change, decode_end
from cdc.control import Snapshot, latest_snapshot
from cdc.errors import Fatal, Poison
from cdc.reader import LogReader, Record
from config.settings import Settings
from projectors.checkpoint import Checkpoint, Store

logger = logging.getLogger(__name__)

_RATE_WINDOW_S = 5.0


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
        snapshot: Callable[[], Snapshot | None] | None = None,
    ) -> None:
        """``interval_s``: the least time between two commits; 0 commits whatever has come in at once.

        ``snapshot``: where a whole snapshot lies in the log, None while there is none; by default the control topic.
        """
        self._settings = settings
        self._store = store
        self._reader = reader
        self._interval_s = interval_s
        self._snapshot = snapshot or (lambda: latest_snapshot(settings.kafka, settings.topic_prefix))
        self._tables = [table for table in tables if table.qualified in store.tables]
        self._transaction_topic = transaction_topic(settings.topic_prefix)
        self._topics = topics_of(settings.topic_prefix, self._tables)
        self._rate = _Rate()

    def run(self, stop: threading.Event) -> None:
        """Project until ``stop`` is set. Raises Transient (run a new one after a pause) and Fatal."""
        checkpoint = self._store.open()
        if checkpoint.phase == "snapshot":
            snapshot = self._await_snapshot(stop)
            if snapshot is None:
                return
            checkpoint = self._load(snapshot)
        self._stream(checkpoint, stop)

    def _await_snapshot(self, stop: threading.Event) -> Snapshot | None:
        while not stop.is_set():
            if (snapshot := self._snapshot()) is not None:
                return snapshot
            stop.wait(0.2)
        return None

    def _load(self, snapshot: Snapshot) -> Checkpoint:
        ranges = {p: r for p, r in snapshot.partitions().items() if self._reads(p)}
        self._assembler = self._new_assembler({})
        self._reader.assign({partition: begin for partition, (begin, _) in ranges.items()})
        newest = {"lsn": 0, "committed_us": 0}

        def rows() -> Iterator[list[Change]]:
            ends = {partition: end for partition, (begin, end) in ranges.items() if end > begin}
            while ends:
                changes: list[Change] = []
                self._reader.only(ends)  # what lies behind the snapshot is not read ahead of the rest of it
                for record in self._reader.poll(1.0, self._settings.batch_changes):
                    change = self._feed(record, in_snapshot=True)
                    if change is not None:
                        changes.append(change)
                        newest["lsn"] = max(newest["lsn"], change.lsn)
                        newest["committed_us"] = max(newest["committed_us"], change.committed_us)
                    if record.offset + 1 >= ends.get(record.partition, record.offset + 2):
                        del ends[record.partition]
                if changes:
                    yield changes

        def position() -> Checkpoint:
            return Checkpoint(
                phase="streaming",
                end_lsn=newest["lsn"],
                committed_us=newest["committed_us"] or None,
                changes=0,
                rate=0.0,
                state=self._assembler.state(),
            )

        self._store.load(rows(), position)
        logger.info("snapshot loaded", extra={"action": "snapshot_loaded"})
        return position()

    def _stream(self, checkpoint: Checkpoint, stop: threading.Event) -> None:
        self._assembler = self._new_assembler(checkpoint.state)
        starts = self._starts(checkpoint.state.get("restart", {}))
        self._reader.assign(starts)
        self._partitions = frozenset(starts)
        committed_at = 0.0
        while not stop.is_set():
            wait_s = max(0.0, committed_at + self._interval_s - time.monotonic())
            self._hold_back()
            for record in self._reader.poll(0.5, self._settings.batch_changes):
                self._feed(record)
            if wait_s > 0:
                stop.wait(wait_s)
            while transactions := self._assembler.take(self._settings.batch_changes):
                checkpoint = self._apply(transactions, checkpoint)
                committed_at = time.monotonic()

    def _hold_back(self) -> None:
        # A backlog is not read evenly: without this, one topic's rows would pile up until the others catch up.
        if self._assembler.buffered <= self._settings.buffered_changes:
            self._reader.only(None)
            return
        lacking = self._assembler.lacking()
        topics = {topic for topic, table in self._topics.items() if table.qualified in lacking}
        topics.add(self._transaction_topic)
        self._reader.only({partition for partition in self._partitions if partition[0] in topics})

    def _apply(self, transactions: Sequence[Transaction], before: Checkpoint) -> Checkpoint:
        count = sum(len(transaction.changes) for transaction in transactions)
        self._rate.add(count)
        checkpoint = Checkpoint(
            phase="streaming",
            end_lsn=transactions[-1].end_lsn,
            committed_us=transactions[-1].committed_us,
            changes=before.changes + count,
            rate=self._rate.per_second(),
            state=self._assembler.state(),
        )
        self._store.apply(transactions, checkpoint)
        return checkpoint

    def _feed(self, record: Record, *, in_snapshot: bool = False) -> Change | None:
        """Hand a record to the assembler; a snapshot's row is returned instead."""
        partition, offset, value = record.partition, record.offset, record.value
        try:
            if value is None:  # a tombstone, after each delete
                self._assembler.passed(partition, offset)
                return None
            if partition[0] == self._transaction_topic:
                end = decode_end(value)
                if end is None:
                    self._assembler.passed(partition, offset)
                else:
                    self._assembler.add_end(partition, offset, end)
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
            raise Fatal(
                f"{partition[0]}[{partition[1]}]@{offset} is a snapshot's row behind the snapshot this store was loaded "
                "from; begin with an empty data directory to load the newer one"
            )
        return None

    def _new_assembler(self, state: Mapping[str, object]) -> Assembler:
        return Assembler(
            (table.qualified for table in self._tables),
            self._transaction_topic,
            state,
            spool=self._settings.data_dir / "spool",
            most_in_memory=self._settings.buffered_changes // 5,
        )

    def _starts(self, restart: Mapping[str, Mapping[str, int]]) -> dict[Partition, int]:
        topics = sorted({*self._topics, self._transaction_topic})
        partitions = [partition for topic in topics for partition in self._reader.partitions(topic)]
        known = unpacked(restart)
        return {partition: known.get(partition, 0) for partition in partitions}

    def _reads(self, partition: Partition) -> bool:
        return partition[0] == self._transaction_topic or partition[0] in self._topics


class _Rate:
    """Changes per second over the last few seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: list[tuple[float, int]] = []

    def add(self, count: int) -> None:
        now = self._clock()
        self._counts.append((now, count))
        while self._counts[0][0] < now - _RATE_WINDOW_S:
            self._counts.pop(0)

    def per_second(self) -> float:
        return sum(count for _, count in self._counts) / _RATE_WINDOW_S

"""A projector's way in: each record that was read goes to the assembler, is ignored for a named reason, or is parked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cdc import canary
from cdc.assembler import Assembler
from cdc.catalog import Table, message_topic, topics_of, transaction_topic
from cdc.change import Change, End
from cdc.control import barrier_generation
from cdc.decoding import carried_by
from cdc.errors import BEGIN_ANEW, HistoryLost, Poison, SourceChanged, Unreadable
from cdc.partitions import Partition
from cdc.poison import locate
from cdc.reader import Decoded, LogReader, Record, require_same_topic
from config.settings import Settings
from projectors.overdue import Overdue
from projectors.snapshots import Snapshots
from projectors.tally import Tally

if TYPE_CHECKING:
    from projectors.tracing import Traces

logger = logging.getLogger(__name__)


class Intake:
    """What one projector has read and not applied yet, and all that its next checkpoint says of reading."""

    def __init__(
        self,
        settings: Settings,
        tables: Sequence[Table],
        tally: Tally,
        parks: Callable[[str], bool],
        snapshots: Snapshots,
    ) -> None:
        """``parks``: whether a table's records that cannot be understood are parked."""
        self._settings = settings
        self._tally = tally
        self._parks = parks
        self._snapshots = snapshots
        self.topics = topics_of(settings.topic_prefix, tables)  #: by topic, its table
        self.topic_of = {table.qualified: topic for topic, table in self.topics.items()}  #: by schema.table
        self.transaction_topic = transaction_topic(settings.topic_prefix)
        self._message_topic = message_topic(settings.topic_prefix)
        self.topics_read = frozenset({*self.topics, self.transaction_topic, self._message_topic})
        self.generation = 0  #: of the snapshot that the store was loaded from last
        self.superseded = False  #: a record of a later snapshot was read
        self.poisoned: set[int] = set()  #: transactions in which something could not be understood
        self.traces: Traces | None = None  #: where somebody records them
        self.outside: list[Change] = []  #: what could not be understood and names no transaction; taken with a batch
        self.assembler = self._assembler({})
        self._overdue = Overdue(self.topic_of)

    def take_up(self, state: Mapping[str, Any], reader: LogReader, *, superseded: bool = False) -> None:
        """Read on as whoever had this state; raises SourceChanged when a topic was made anew since.

        What is unfinished will be read again; or a snapshot supersedes it.
        """
        self.repeated()
        for partition, count in self.waiting().items():
            if superseded:
                self._tally.ignore(partition, "superseded", count)
            else:
                self._tally.unread({partition: count})
        self.outside.clear()
        self.poisoned.clear()
        self._canaries = canary.Watch(state.get("canaries"))
        self.assembler = self._assembler(state)
        self._topic_ids = reader.topic_ids(sorted(self.topics_read))
        for topic, known in state.get("topics", {}).items():
            require_same_topic(topic, known, self._topic_ids.get(topic, ""))

    def state(self) -> dict[str, Any]:
        """What take_up takes, as of what was handed out last."""
        own = {"generation": self.generation, "topics": self._topic_ids, "canaries": self._canaries.state()}
        return self.assembler.state() | own

    def feed(self, record: Record | Decoded, *, in_snapshot: bool = False) -> Change | None:
        """Take in a record; a snapshot's row is returned instead. Raises Unreadable and other errors of Fatal."""
        partition, offset, tally = record.partition, record.offset, self._tally
        tally.of(partition).read += 1
        if isinstance(record, Decoded):
            carries = record.carries
        elif record.value is None:
            return self._pass_empty(record)
        elif partition[0] == self._message_topic:
            return self._pass_message(record, record.value)
        else:
            try:
                carries = carried_by(record, self.transaction_topic)
            except Poison as exc:
                carries = self._located(record, exc, in_snapshot)
        if carries is None:
            self.assembler.passed(partition, offset)
            is_boundary = partition[0] == self.transaction_topic
            tally.ignore(partition, "transaction boundary" if is_boundary else "logical message")
        elif isinstance(carries, End):
            tally.ignore(partition, "transaction boundary")
            self.assembler.add_end(partition, offset, carries)
        elif carries.xid is not None:
            self.assembler.add(partition, offset, carries)
        elif self.assembler.has_passed(partition, offset):
            tally.ignore(partition, "repeated")  # a row of an earlier snapshot, too, while a later one is loaded
        elif in_snapshot:
            self.assembler.passed(partition, offset)
            return carries
        elif carries.op == "x":
            self.assembler.passed(partition, offset)
            self.outside.append(carries)
        else:
            tally.ignore(partition, "superseded")
            if not self._snapshots.on_its_way(self.generation):
                raise SourceChanged(
                    f"{partition[0]}[{partition[1]}]@{offset} is a row of a snapshot that readside did not take; "
                    "take one with `python -m cdc snapshot` to bring this store in line"
                )
            self.superseded = True
        return None

    def _pass_empty(self, record: Record) -> None:
        # A tombstone, after each delete; or a barrier.
        self.assembler.passed(record.partition, record.offset)
        self._tally.ignore(record.partition, "tombstone")
        if record.headers and (barrier_generation(record.headers) or 0) > self.generation:
            self.superseded = True

    def _pass_message(self, record: Record, value: bytes) -> None:
        self.assembler.passed(record.partition, record.offset)
        self._tally.ignore(record.partition, "logical message")
        self._see_canary(record, value)
        if self.traces is not None:
            self.traces.see(value)

    def waiting(self) -> dict[Partition, int]:
        """Records that were read and came to no end yet."""
        waiting = self.assembler.unfinished()
        for change in self.outside:
            partition = self.topic_of[change.table], change.partition
            waiting[partition] = waiting.get(partition, 0) + 1
        return waiting

    def lacking(self, partitions: Collection[Partition]) -> set[Partition]:
        """Those of which the next transaction lacks rows, or its END; none when it was torn off and never gets whole."""
        lacking = self.assembler.lacking()
        topics = {topic for topic, table in self.topics.items() if table.qualified in lacking} | {
            self.transaction_topic
        }
        return {partition for partition in partitions if partition[0] in topics}

    def require_coming(self, partitions: Collection[Partition], reader: LogReader) -> None:
        """Raises HistoryLost when rows that the next transaction lacks are not to come in any of these; Transient."""
        if (lost := self._overdue.lost(self.assembler, partitions, reader)) is None:
            return
        if not self._snapshots.on_its_way(self.generation):
            raise HistoryLost(f"{lost}; {BEGIN_ANEW}")
        self.superseded = True  # it tore the stream off there

    def repeated(self) -> None:
        """Count what the assembler found to be repeated."""
        for partition, count in self.assembler.repeated.items():
            self._tally.ignore(partition, "repeated", count)
        self.assembler.repeated.clear()

    def _located(self, record: Record, poison: Poison, in_snapshot: bool) -> Change:
        topic, number = record.partition
        place = f"{topic}[{number}]@{record.offset}"
        table = self.topics[topic].qualified if topic in self.topics else None
        if table is None or not self._parks(table):
            way_out = (
                ""
                if table is None
                else f"park it and what follows for its row with READSIDE_PARKED_ON_POISON={table}, or "
            )
            raise Unreadable(f"{place}: {poison}; the store stops here rather than skip it; {way_out}{BEGIN_ANEW}")
        assert record.value is not None
        change = locate(
            record.value, record.key, record.headers, table, str(poison), number, record.offset, in_snapshot=in_snapshot
        )
        if change is None:
            raise Unreadable(
                f"{place}: {poison}; it cannot be parked, because it does not say which row or which place in a "
                f"transaction it is; {BEGIN_ANEW}"
            ) from poison
        if change.xid is not None:
            self.poisoned.add(change.xid)
        return change

    def _see_canary(self, record: Record, value: bytes) -> None:
        try:
            self._canaries.see(value, self._snapshots.supervisions)
        except Poison as exc:
            # Whoever may connect to the source may send one. It is no row: nothing is missing where it is passed over.
            topic, number = record.partition
            logger.warning(
                f"{topic}[{number}]@{record.offset}: {exc}; it is passed over", extra={"action": "message_passed_over"}
            )
        except HistoryLost:
            if not self._snapshots.on_its_way(self.generation):
                raise
            self.superseded = True  # a new snapshot has a slot of its own: the canaries in between came nowhere

    def _assembler(self, state: Mapping[str, Any]) -> Assembler:
        return Assembler(
            self.topic_of,
            self.transaction_topic,
            state,
            spool=self._settings.data_dir / "spool",
            most_in_memory=self._settings.buffered_changes // 5,
        )

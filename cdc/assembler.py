"""Records in any interleaving that keeps each partition's order → whole source transactions in commit order.

No I/O, no clock. What makes it exact (docs/decisions/0002, notes debezium-restart.md section 3):

- A transaction is whole when its END is known and, for every table read here, as many distinct places (``total_order``)
  have been seen as END counts. ENDs come in commit order, and END's LSN is unique and increasing.
- A connector that starts again at its slot sends whole transactions once more, rows identical but for
  ``source.sequence``. A reader may have seen only a prefix of the first copy; rows of both copies are interchangeable.
- A transaction's rows name the end of the one before: one that names another than was handed out last follows a hole.
- A partition's rows come in commit order in each life of a connector: behind a later transaction's, none is to come there.
- A row belongs to a transaction that was already handed out exactly if the transaction *before* its own ended before
  the last one handed out did. Only in the first transaction after a connector's start Debezium does not say which that
  is; there the latest handed-out transactions are remembered by xid.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from cdc.change import Change, End
from cdc.errors import BEGIN_ANEW, HistoryLost, SourceChanged
from cdc.lsn import lsn_text
from cdc.partitions import Partition, packed, unpacked
from cdc.spool import Changes, Rows

#: How many handed-out transactions are remembered by xid, in memory and in a checkpoint.
_REMEMBERED = 100_000
_REMEMBERED_IN_STATE = 32


class Transaction(Struct, frozen=True):
    """A whole source transaction: all its changes of the tables read here, in the order they were made."""

    xid: int  #: 32 bit
    end_lsn: int
    committed_us: int  #: commit time at the source, microseconds since 1970 UTC
    changes: Changes
    records: Mapping[Partition, int] = field(default_factory=dict)  #: how many changes lay in which

    def with_changes(self, changes: Changes) -> Transaction:
        """The same transaction with these instead."""
        return replace(self, changes=changes)


class _Pending(Struct):
    rows: Rows
    by_table: dict[str, int] = field(default_factory=dict)
    records: dict[Partition, int] = field(default_factory=dict)
    previous_end: int | None = None  # as its rows say


class _Waiting(Struct):
    end: End
    offset: int
    counts: dict[str, int]  # of the tables read here
    needed: int  # their sum


class Assembler:
    """Collects rows and ENDs; hands out whole transactions. Its state can be kept in a checkpoint and taken up again."""

    def __init__(
        self,
        tables: Iterable[str],
        transaction_topic: str,
        state: Mapping[str, Any] | None = None,
        *,
        spool: Path | None = None,
        most_in_memory: int = 20_000,
    ) -> None:
        """``tables``: schema.table names whose rows will be fed; ``state``: what ``state()`` gave, None at the start.

        ``spool``: a directory for the rows of unfinished transactions of more than ``most_in_memory`` rows.
        """
        saved: Mapping[str, Any] = state or {}
        self._spool = spool
        self._most_in_memory = most_in_memory
        self.repeated: dict[Partition, int] = {}  #: rows of transactions handed out before, or twice in one; since ever
        self._tables = frozenset(tables)
        self._transaction_topic = transaction_topic
        self._pending: dict[int, _Pending] = {}
        self._first: dict[Partition, dict[int, int]] = {}  # first offset of each pending xid in a partition
        self._follows: dict[Partition, int] = {}  # the end before the transaction of the last row read of a partition
        self._buffered = 0
        self._waiting: deque[_Waiting] = deque()
        self._whole_ends = self._whole = 0  # how many of the first of those are known to be whole, and their changes
        self._end_lsn: int = saved.get("end_lsn", 0)
        self._frontier: dict[Partition, int] = unpacked(saved.get("frontier", {}))
        self._position: dict[Partition, int] = unpacked(saved.get("restart", {}))  # behind what was read by this one
        self._handed_out: dict[int, int] = {int(xid): lsn for xid, lsn in saved.get("handed_out", {}).items()}
        # False while end_lsn is a snapshot's position, which no transaction names.
        self._anchored = self._end_lsn in self._handed_out.values()
        # A checkpoint's rows below the frontier were all used, but for those of its unfinished transactions.
        self._resumed_frontier = dict(self._frontier)
        self._resumed_position = dict(self._position)
        self._resumed_pending: set[int] = set(saved.get("pending", ()))

    @property
    def end_lsn(self) -> int:
        """END LSN of the last transaction handed out; 0 before the first."""
        return self._end_lsn

    @property
    def buffered(self) -> int:
        """Changes of unfinished transactions that are held in memory."""
        return self._buffered

    @property
    def has_whole(self) -> bool:
        """Whether the next transaction in commit order is whole."""
        self._find_whole()
        return self._whole_ends > 0

    @property
    def whole(self) -> int:
        """Changes of the transactions that are next in commit order and whole."""
        self._find_whole()
        return self._whole

    def lacking(self) -> frozenset[str]:
        """Tables of which the next transaction that is not whole lacks rows; none while its END is not known."""
        self._find_whole()
        if self._whole_ends == len(self._waiting):
            return frozenset()
        first = self._waiting[self._whole_ends]
        pending = self._pending.get(first.end.xid)
        seen: Mapping[str, int] = pending.by_table if pending else {}
        return frozenset(table for table, count in first.counts.items() if seen.get(table, 0) < count)

    def read_past(self, of_table: Callable[[str], Collection[Partition]]) -> tuple[int, str] | None:
        """The next transaction's xid and a table of which it lacks rows, though all its partitions were read past them."""
        for table in sorted(self.lacking()):
            end, partitions = self._waiting[self._whole_ends].end, of_table(table)
            if partitions and all(self._follows.get(partition, 0) >= end.end_lsn for partition in partitions):
                return end.xid, table
        return None

    def position(self, partition: Partition) -> int:
        """The offset behind the last record that was read; 0 before the first."""
        return self._position.get(partition, 0)

    def add(self, partition: Partition, offset: int, change: Change) -> None:
        """Feed a streamed row change (not a snapshot row) in its partition's order."""
        self.passed(partition, offset)
        assert change.xid is not None
        if offset < self._resumed_frontier.get(partition, 0) and change.xid not in self._resumed_pending:
            self._repeats(partition)
            return
        if self._was_handed_out(change):
            self._repeats(partition)
            return
        if (pending := self._pending.get(change.xid)) is None:
            pending = self._pending[change.xid] = _Pending(Rows(self._most_in_memory, self._spool))
        if partition not in pending.records:
            pending.records[partition] = 0
            self._first.setdefault(partition, {})[change.xid] = offset
        in_memory = pending.rows.in_memory
        if pending.rows.add(change):
            pending.records[partition] += 1
            pending.by_table[change.table] = pending.by_table.get(change.table, 0) + 1
        else:
            self._repeats(partition)
        self._buffered += pending.rows.in_memory - in_memory
        if change.previous_end is not None:
            pending.previous_end = self._follows[partition] = change.previous_end

    def add_end(self, partition: Partition, offset: int, end: End) -> None:
        """Feed an END in its partition's order. Raises SourceChanged for a known transaction that ended elsewhere."""
        self.passed(partition, offset)
        if self._handed_out.get(end.xid, end.end_lsn) != end.end_lsn:
            raise SourceChanged(
                f"transaction {end.xid} ended at {lsn_text(self._handed_out[end.xid])} and comes again with its end at "
                f"{lsn_text(end.end_lsn)}: another state of the source was restored; {BEGIN_ANEW}"
            )
        # Before the place where reading was to go on, every END was used: a snapshot of nothing has no position to say so.
        known = offset < self._resumed_position.get(partition, 0)
        newest = self._waiting[-1].end.end_lsn if self._waiting else self._end_lsn
        if known or end.end_lsn <= newest:
            if end.end_lsn <= self._end_lsn:
                for where, count in self._forget(end.xid).items():
                    self._repeats(where, count)
                self._remember(end.xid, end.end_lsn)
            return
        counts = {table: count for table, count in end.counts.items() if table in self._tables}
        self._waiting.append(_Waiting(end, offset, counts, sum(counts.values())))

    def passed(self, partition: Partition, offset: int) -> None:
        """Note that a record was read, whatever it was: the partition's frontier is behind it."""
        self._position[partition] = behind = offset + 1
        if behind > self._frontier.get(partition, 0):
            self._frontier[partition] = behind

    def has_passed(self, partition: Partition, offset: int) -> bool:
        """Whether a record was read before, by this assembler or by the one whose state it took up."""
        return offset < self._frontier.get(partition, 0)

    def take(self, most_changes: int) -> list[Transaction]:
        """Whole transactions that are next in commit order, at least one if there is one, about ``most_changes`` rows."""
        taken: list[Transaction] = []
        changes = 0
        while self._waiting and changes < most_changes:
            head = self._waiting[0]
            pending = self._pending.get(head.end.xid)
            seen = len(pending.rows) if pending else 0
            if seen < head.needed:
                break
            if seen > head.needed:
                raise SourceChanged(
                    f"transaction {head.end.xid} (end LSN {head.end.end_lsn}) has {seen} changes where its END counts "
                    f"{head.needed}: the connector did not start at its slot; run `readside doctor`"
                )
            self._require_chain(head.end, pending.previous_end if pending else None)
            self._anchored = True
            self._waiting.popleft()
            if self._whole_ends:
                self._whole_ends -= 1
                self._whole -= head.needed
            records = self._forget(head.end.xid)
            end = head.end
            taken.append(Transaction(end.xid, end.end_lsn, end.committed_us, pending.rows if pending else (), records))
            changes += seen
            self._end_lsn = end.end_lsn
            self._remember(end.xid, end.end_lsn)
        return taken

    def unfinished(self) -> dict[Partition, int]:
        """How many rows of transactions that were not handed out yet lay in which partition."""
        counts: dict[Partition, int] = {}
        for pending in self._pending.values():
            for partition, count in pending.records.items():
                counts[partition] = counts.get(partition, 0) + count
        return counts

    def restart_offsets(self) -> dict[Partition, int]:
        """Where to read on after a crash, by partition, when everything handed out so far has been stored."""
        offsets = dict(self._position)
        for partition, first in self._first.items():
            if first:
                offsets[partition] = min(offsets[partition], min(first.values()))
        if self._waiting:
            offsets[self._transaction_topic, 0] = self._waiting[0].offset
        return offsets

    def state(self) -> dict[str, Any]:
        """JSON-able state to be stored with what has been handed out; ``restart`` is restart_offsets()."""
        latest = islice(reversed(self._handed_out.items()), _REMEMBERED_IN_STATE)
        return {
            "end_lsn": self._end_lsn,
            "frontier": packed(self._frontier),
            "restart": packed(self.restart_offsets()),
            "pending": sorted(self._pending.keys() | self._resumed_pending),
            "handed_out": {str(xid): lsn for xid, lsn in reversed(list(latest))},
        }

    def _find_whole(self) -> None:
        while self._whole_ends < len(self._waiting):
            waiting = self._waiting[self._whole_ends]
            pending = self._pending.get(waiting.end.xid)
            if (len(pending.rows) if pending else 0) < waiting.needed:
                break
            self._whole_ends += 1
            self._whole += waiting.needed

    def _require_chain(self, end: End, previous_end: int | None) -> None:
        if self._anchored and previous_end not in (None, self._end_lsn):
            raise HistoryLost(
                f"transaction {end.xid} follows one that ended at {lsn_text(previous_end)}, and the last one in Kafka ended "
                f"at {lsn_text(self._end_lsn)}: Kafka lost what lies between; {BEGIN_ANEW}"
            )

    def _was_handed_out(self, change: Change) -> bool:
        if change.previous_end is not None:
            return change.previous_end < self._end_lsn
        assert change.xid is not None
        return change.lsn <= self._handed_out.get(change.xid, -1)

    def _repeats(self, partition: Partition, count: int = 1) -> None:
        self.repeated[partition] = self.repeated.get(partition, 0) + count

    def _forget(self, xid: int) -> Mapping[Partition, int]:
        self._resumed_pending.discard(xid)
        if (pending := self._pending.pop(xid, None)) is None:
            return {}
        self._buffered -= pending.rows.in_memory
        for partition in pending.records:
            del self._first[partition][xid]
        return pending.records

    def _remember(self, xid: int, end_lsn: int) -> None:
        self._handed_out.pop(xid, None)
        self._handed_out[xid] = end_lsn
        if len(self._handed_out) > _REMEMBERED:
            del self._handed_out[next(iter(self._handed_out))]

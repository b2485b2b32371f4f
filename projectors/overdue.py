"""Rows that are not to come any more. Better noticed late than wrongly: the store stands still meanwhile, and is right."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from cdc.assembler import Assembler
from cdc.partitions import Partition
from cdc.reader import LogReader

#: Behind rows of a later transaction in every partition, those of an earlier one can only come where a row goes to another
#: partition when it is sent again: a TRUNCATE, which has no key, and any row once partitions were added. What a connector
#: was still sending then it sends, or fails, within Kafka's delivery.timeout.ms, 120 s.
_AFTER_S = 150.0


class Overdue:
    """Watches what the next transaction lacks."""

    def __init__(self, topic_of: Mapping[str, str]) -> None:
        """``topic_of``: topics by schema.table."""
        self._topic_of = topic_of
        self._suspected: tuple[int, str] | None = None
        self._since = 0.0
        self._ends: Mapping[Partition, int] = {}

    def lost(self, assembler: Assembler, partitions: Collection[Partition], reader: LogReader) -> str | None:
        """What is lost: rows of a table whose every partition was read past them, for long, and up to where it ended after
        that was seen first. None as long as they may be to come. Raises Transient.

        ``partitions``: those that are read.
        """
        suspected = assembler.read_past(lambda table: [p for p in partitions if p[0] == self._topic_of[table]])
        if suspected != self._suspected:
            self._suspected, self._since = suspected, time.monotonic()
            if suspected is not None:
                # Those too that were added since, which nobody reads yet.
                self._ends = reader.end_offsets(reader.partitions(self._topic_of[suspected[1]]))
        if suspected is None or time.monotonic() - self._since < _AFTER_S:
            return None
        if any(assembler.position(partition) < end for partition, end in self._ends.items()):
            return None
        xid, table = suspected
        return f"transaction {xid} lacks rows of {table}, and later ones of every partition were read: Kafka lost them"

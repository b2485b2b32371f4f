"""Whether the slot will send on exactly where Kafka's records end: asked before every start of the connector.

Debezium confirms only what Kafka has acknowledged, so a slot that somebody else leaves alone is never ahead of the
records in Kafka, and the database's WAL never behind them (docs/decisions/0012). Both are compared here with the records
themselves: they are the most exact note there is of how far the slot ever came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import psycopg

from cdc.catalog import transaction_topic
from cdc.change import decode_boundary
from cdc.control import Snapshot
from cdc.errors import BEGIN_ANEW, HistoryLost, SourceChanged
from cdc.lsn import lsn_text, lsn_value
from cdc.partitions import Partition, unpacked
from cdc.poison import sent_lsn
from cdc.reader import KafkaPythonReader

_TAIL = 64  # records looked at from a partition's end: some of them are tombstones, or a BEGIN without its END


@dataclass(frozen=True, slots=True)
class Source:
    """The database that answers, and its slot."""

    system_identifier: int
    database: str
    timeline: int
    flushed: int  #: LSN up to which its WAL is written
    wal_status: str | None  #: of the slot; None when there is no such slot
    confirmed: int | None  #: the slot's confirmed_flush_lsn


def read_source(source: psycopg.Connection[Any], slot: str) -> Source:
    """Look at the database behind a connection."""
    row = source.execute(
        """
        select c.system_identifier, current_database(),
               ('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int,
               (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint,
               s.wal_status, (s.confirmed_flush_lsn - '0/0'::pg_lsn)::bigint
          from pg_control_system() c
          left join pg_replication_slots s on s.slot_name = %(slot)s and s.database = current_database()
        """,
        {"slot": slot},
    ).fetchone()
    assert row is not None
    return Source(*row)


def require_unbroken(
    found: Source,
    snapshot: Snapshot,
    *,
    before: int,
    ended: int,
    sent: Callable[[], Iterable[int]],
    history: Callable[[], Iterable[str]],
) -> None:
    """Raise SourceChanged or HistoryLost unless the slot sends on where Kafka's records end.

    ``before`` and ``ended``: LSN of the last END in Kafka, asked for before and after ``found`` was: a connector may
    run meanwhile. ``sent``: gives the LSNs of other records at the partitions' ends;
    ``history``: gives the lines of the timeline's history file.
    """
    if (found.system_identifier, found.database) != (snapshot.system_identifier, snapshot.database):
        raise SourceChanged(
            "READSIDE_SOURCE_DSN leads to another PostgreSQL cluster or database than the snapshot in Kafka was "
            f"taken from ({snapshot.database}); correct it, or {BEGIN_ANEW}"
        )
    if found.flushed < before:
        raise SourceChanged(
            f"the source's WAL ends at {lsn_text(found.flushed)} and Kafka holds a transaction that ended at "
            f"{lsn_text(before)}: an older state of the database was restored; {BEGIN_ANEW}"
        )
    if snapshot.timeline and found.timeline != snapshot.timeline:
        _require_descendant(found.timeline, snapshot.timeline, before, history())
    if found.confirmed is None or found.wal_status == "lost":
        raise HistoryLost(
            f"replication slot {snapshot.slot} is {'gone' if found.wal_status is None else 'lost'}: changes since "
            f"{lsn_text(ended)} cannot be had from it; {BEGIN_ANEW}"
        )
    if found.confirmed > max(ended, snapshot.confirmed) and found.confirmed > max(sent(), default=0):
        raise HistoryLost(
            f"replication slot {snapshot.slot} begins at {lsn_text(found.confirmed)}, and Kafka's records end at "
            f"{lsn_text(ended)}: the slot was made anew or moved on by somebody else, and changes between the two are "
            f"lost; {BEGIN_ANEW}"
        )


def _require_descendant(timeline: int, known: int, ended: int, history: Iterable[str]) -> None:
    # A line of a history file: a timeline, the LSN at which the next one left it, the reason.
    left = {line.split("\t")[0].strip(): line.split("\t")[1] for line in history if line.count("\t") >= 2}
    at = left.get(str(known))
    if at is None:
        raise SourceChanged(
            f"the source is on timeline {timeline}, which does not come from timeline {known} that Kafka's records are of: "
            f"another state of the database was restored; {BEGIN_ANEW}"
        )
    if lsn_value(at) < ended:
        raise SourceChanged(
            f"the source left timeline {known} at {at}, and Kafka holds a transaction that ended there at "
            f"{lsn_text(ended)}: an older state was restored, or a standby promoted that was behind; {BEGIN_ANEW}"
        )


def timeline_history(dsn: str, timeline: int) -> list[str]:
    """The lines of a timeline's history file, over the replication protocol."""
    with psycopg.connect(dsn, autocommit=True, replication="database") as connection:
        row = connection.execute(f"TIMELINE_HISTORY {int(timeline)}".encode()).fetchone()
    assert row is not None
    content = row[1]
    return (content if isinstance(content, str) else bytes(content).decode()).splitlines()


class Held:
    """What Kafka holds of the stream behind a snapshot, seen from its end."""

    def __init__(self, reader: KafkaPythonReader, prefix: str, topics: Iterable[str], snapshot: Snapshot) -> None:
        """``reader`` is assigned anew by every look; ``topics`` of the tables. Methods raise Transient."""
        self._reader = reader
        self._boundaries = (transaction_topic(prefix), 0)
        self._topics = topics
        self._begin = unpacked(snapshot.begin)

    def last_end(self) -> int:
        """LSN of the last END; 0 when there is none."""
        ends = [lsn for status, lsn in map(decode_boundary, self._tail(self._boundaries)) if status == "END"]
        return ends[-1] if ends else 0

    def last_sent(self) -> list[int]:
        """LSNs of the last records: rows, and the BEGIN of a transaction that did not come to its end."""
        positions = [decode_boundary(value)[1] for value in self._tail(self._boundaries)]
        for topic in self._topics:
            for partition in self._reader.partitions(topic):
                positions += [lsn for value in self._tail(partition) if (lsn := sent_lsn(value)) is not None]
        return positions

    def _tail(self, partition: Partition) -> list[bytes]:
        [end] = self._reader.end_offsets([partition]).values()
        [kept] = self._reader.begin_offsets([partition]).values()
        read = max(kept, self._begin.get(partition, 0), end - _TAIL)
        values: list[bytes] = []
        if read >= end:
            return values
        self._reader.assign({partition: read})
        while read < end and (records := self._reader.poll(2.0, _TAIL)):
            read = records[-1].offset + 1
            values += [record.value for record in records if record.value is not None]
        return values

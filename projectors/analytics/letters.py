"""Dead letters and counts of records in the analytics store."""

from __future__ import annotations

import json
from dataclasses import asdict

from cdc.partitions import Partition
from projectors.analytics.connection import Connection
from projectors.checkpoint import Checkpoint
from projectors.letters import DeadLetter, Place
from projectors.tally import Counts

_COLUMNS = 'topic, "partition", "offset", "table", key, old_key, xid, end_lsn, "order", committed_us, reason, payload'


def settle(connection: Connection, checkpoint: Checkpoint) -> None:
    """Store what goes with the move to a checkpoint."""
    for place in (*checkpoint.released, *(letter.place for letter in checkpoint.parked)):
        connection.execute(
            'delete from readside.dead_letters where topic = $topic and "partition" = $partition and "offset" = $offset',
            place._asdict(),
        )
    for letter in checkpoint.parked:
        connection.execute(
            f"insert into readside.dead_letters ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *letter.place,
                letter.table,
                letter.key,
                letter.old_key,
                letter.xid,
                letter.end_lsn,
                letter.order,
                letter.committed_us,
                letter.reason,
                letter.payload,
            ],
        )
    if checkpoint.counts:
        connection.execute("delete from readside.records")
        rows = [
            {"topic": topic, "partition": number, **asdict(of), "ignored": json.dumps(of.ignored)}
            for (topic, number), of in checkpoint.counts.items()
        ]
        connection.execute(
            """
            insert into readside.records (topic, "partition", read, applied, parked, ignored)
            select unnest($topic), unnest($partition), unnest($read), unnest($applied), unnest($parked), unnest($ignored)
            """,
            {name: [row[name] for row in rows] for name in rows[0]},
        )


def stored_letters(connection: Connection) -> list[DeadLetter]:
    """All of them, in the order of the source's commits."""
    rows = connection.execute(
        f'select {_COLUMNS} from readside.dead_letters order by end_lsn, "order", "offset"'
    ).fetchall()
    return [DeadLetter(Place(*row[:3]), *row[3:]) for row in rows]


def stored_counts(connection: Connection) -> dict[Partition, Counts]:
    """What became of the records read so far."""
    rows = connection.execute(
        'select topic, "partition", read, applied, parked, ignored from readside.records'
    ).fetchall()
    return {
        (topic, number): Counts(read, applied, parked, json.loads(ignored))
        for topic, number, read, applied, parked, ignored in rows
    }


def by_table(connection: Connection) -> dict[str, int]:
    """How many changes are parked, by schema.table."""
    return dict(connection.execute('select "table", count(*) from readside.dead_letters group by "table"').fetchall())

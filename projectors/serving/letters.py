"""Dead letters and counts of records in the serving store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any, LiteralString

import psycopg

from cdc.catalog import Table
from cdc.partitions import Partition
from projectors.checkpoint import Checkpoint, lsn_text, lsn_value
from projectors.letters import Asked, DeadLetter, Place
from projectors.parking import behind
from projectors.read_model import Declarations
from projectors.tally import Counts

Connection = psycopg.Connection[Any]
Execute = Callable[[LiteralString, dict[str, Any]], object]

_RELEASE: LiteralString = """
    delete from readside.dead_letters d
     using jsonb_to_recordset(%(places)s::jsonb) as p(topic text, partition integer, "offset" bigint)
     where (d.topic, d.partition, d."offset") = (p.topic, p.partition, p."offset")
"""

_PARK: LiteralString = """
    insert into readside.dead_letters
           (topic, partition, "offset", "table", key, old_key, xid, end_lsn, "order", committed_us, reason, payload)
    values (%(topic)s, %(partition)s, %(offset)s, %(table)s, %(key)s, %(old_key)s, %(xid)s, %(end_lsn)s::pg_lsn,
            %(order)s, %(committed_us)s, %(reason)s, %(payload)s)
    on conflict (topic, partition, "offset") do update set reason = excluded.reason
"""

_COUNT: LiteralString = """
    insert into readside.records as r (topic, partition, read, applied, parked, ignored)
    select topic, partition, read, applied, parked, ignored
      from jsonb_to_recordset(%(counts)s::jsonb)
           as c(topic text, partition integer, read bigint, applied bigint, parked bigint, ignored jsonb)
    on conflict (topic, partition) do update
       set read = excluded.read, applied = excluded.applied, parked = excluded.parked, ignored = excluded.ignored
     where r.read <> excluded.read or r.parked <> excluded.parked
"""

#: Which tables' changes are parked how often, and then which declared tables read them.
_BY_TABLE: LiteralString = 'select "table", count(*) from readside.dead_letters group by "table"'


def settle(execute: Execute, checkpoint: Checkpoint) -> None:
    """Store what goes with the move to a checkpoint."""
    if checkpoint.released:
        execute(_RELEASE, {"places": json.dumps([place._asdict() for place in checkpoint.released])})
    for letter in checkpoint.parked:
        execute(
            _PARK,
            {
                **letter.place._asdict(),
                "table": letter.table,
                "key": letter.key.decode(),
                "old_key": letter.old_key.decode() if letter.old_key is not None else None,
                "xid": letter.xid,
                "end_lsn": lsn_text(letter.end_lsn),
                "order": letter.order,
                "committed_us": letter.committed_us,
                "reason": letter.reason,
                "payload": letter.payload,
            },
        )
    if checkpoint.counts:
        rows = [
            {"topic": topic, "partition": number, **asdict(counts)}
            for (topic, number), counts in checkpoint.counts.items()
        ]
        execute(_COUNT, {"counts": json.dumps(rows)})


def note_incomplete(connection: Connection, declarations: Declarations, tables: Iterable[Table]) -> None:
    """Tell whoever reads a declared table how many changes of what it reads are parked."""
    mirrors = {table.qualified: table.mirror for table in tables}
    parked = connection.execute(_BY_TABLE).fetchall()
    of = behind(declarations, {mirrors[name]: count for name, count in parked if name in mirrors})
    connection.execute(
        """
        update readside.declared d
           set dead_letters = coalesce((%(of)s::jsonb->>d.name)::bigint, 0)
         where d.dead_letters <> coalesce((%(of)s::jsonb->>d.name)::bigint, 0)
        """,
        {"of": json.dumps(of)},
    )


def stored_letters(connection: Connection) -> list[DeadLetter]:
    """All of them, in the order of the source's commits."""
    rows = connection.execute(
        """
        select topic, partition, "offset", "table", key, old_key, xid, end_lsn::text, "order", committed_us, reason, payload
          from readside.dead_letters d
         order by d.end_lsn, "order", "offset"
        """
    ).fetchall()
    return [
        DeadLetter(
            Place(*place),
            table,
            key.encode(),
            old.encode() if old else None,
            xid,
            lsn_value(end_lsn),
            order,
            us,
            why,
            it,
        )
        for *place, table, key, old, xid, end_lsn, order, us, why, it in rows
    ]


def ask_for(connection: Connection, place: Place, action: str) -> None:
    """Have the projector do what an operator wants with a letter."""
    connection.execute(
        """
        update readside.dead_letters set asked = %(action)s
         where (topic, partition, "offset") = (%(topic)s, %(partition)s, %(offset)s)
        """,
        {**place._asdict(), "action": action},
    )


def take_up_asked(connection: Connection) -> Sequence[Asked]:
    """What operators want, noted as taken up."""
    rows = connection.execute(
        """
        with asked as (
            select topic, partition, "offset", asked from readside.dead_letters where asked is not null for update)
        update readside.dead_letters d set asked = null
          from asked a
         where (d.topic, d.partition, d."offset") = (a.topic, a.partition, a."offset")
        returning d.topic, d.partition, d."offset", a.asked
        """
    ).fetchall()
    return [Asked(Place(*place), action) for *place, action in rows]


def stored_counts(connection: Connection) -> dict[Partition, Counts]:
    """What became of the records read so far."""
    rows = connection.execute("select topic, partition, read, applied, parked, ignored from readside.records")
    return {(topic, number): Counts(*counts) for topic, number, *counts in rows.fetchall()}

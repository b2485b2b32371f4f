"""What the analytics store keeps of itself, and where it stands."""

from __future__ import annotations

import json

from projectors.analytics.connection import Connection
from projectors.checkpoint import START, Checkpoint, lsn_text, lsn_value

SCHEMA = """
    create schema if not exists readside;
    create schema if not exists mirror;
    create table if not exists readside.checkpoint (
        phase varchar not null, end_lsn varchar not null, committed_us bigint, changes bigint not null,
        rate double not null, state varchar not null);
    create table if not exists readside.declared (name varchar not null, fingerprint varchar not null);
    alter table readside.declared add column if not exists parked varchar;
    alter table readside.declared add column if not exists kind varchar;
    create table if not exists readside.mirrored (
        "table" varchar not null, shape varchar not null, former varchar not null, parked varchar);
    create table if not exists readside.dead_letters (
        topic varchar not null, "partition" integer not null, "offset" bigint not null, "table" varchar not null,
        key blob not null, old_key blob, xid bigint, end_lsn ubigint not null, "order" bigint not null,
        committed_us bigint not null, reason varchar not null, payload blob not null,
        parked_at timestamptz not null default now());
    create table if not exists readside.records (
        topic varchar not null, "partition" integer not null, read bigint not null, applied bigint not null,
        parked bigint not null, ignored varchar not null);
    create or replace view _readside as
    select make_timestamptz(committed_us) as as_of, end_lsn, state::json->'frontier' as kafka_offsets
      from readside.checkpoint;
    comment on view _readside is 'Where this store stands: the last source transaction, and what is read of Kafka.';
"""


def read_checkpoint(connection: Connection) -> Checkpoint:
    """Where the store stands."""
    row = connection.execute(
        "select phase, end_lsn, committed_us, changes, rate, state from readside.checkpoint"
    ).fetchone()
    if row is None:
        return START
    phase, end_lsn, committed_us, changes, rate, state = row
    return Checkpoint(
        phase=phase,
        end_lsn=lsn_value(end_lsn),
        committed_us=committed_us,
        changes=changes,
        rate=rate,
        state=json.loads(state),
    )


def move(connection: Connection, checkpoint: Checkpoint) -> None:
    """Note that the store stands there."""
    connection.execute("delete from readside.checkpoint")
    connection.execute(
        """
        insert into readside.checkpoint (phase, end_lsn, committed_us, changes, rate, state)
        values ($phase, $end_lsn, $committed_us, $changes, $rate, $state)
        """,
        {
            "phase": checkpoint.phase,
            "end_lsn": lsn_text(checkpoint.end_lsn),
            "committed_us": checkpoint.committed_us,
            "changes": checkpoint.changes,
            "rate": checkpoint.rate,
            "state": json.dumps(checkpoint.state),
        },
    )

"""What the reconciler found, in the serving store, by mirrored table and read model. Each note and look is one statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import psycopg

from cdc.errors import Fatal, Transient
from config.settings import Settings
from projectors.serving.schema import read_built
from projectors.verification.comparing import Verdict
from projectors.versions import Declared

Connection = psycopg.Connection[Any]

_TABLE = """
    create table if not exists readside.verified (
        name        text primary key,
        store       text not null,
        verified_at timestamptz not null,
        end_lsn     pg_lsn not null,
        rows        bigint not null,
        differences bigint not null,
        found       bigint not null default 0,
        repaired    bigint not null default 0
    );
    comment on table readside.verified is 'What the background verification found, by read model and mirror.TABLE.';
    comment on column readside.verified.end_lsn is 'The position of the source at which it was compared.';
    comment on column readside.verified.differences is 'Rows that differed then.';
    comment on column readside.verified.found is 'Rows found to differ since ever.';
    comment on column readside.verified.repaired is 'Of those, the ones that were equal at a later look.';
"""


def connected(settings: Settings) -> Connection:
    """The serving store as its projector's role. Raises Transient and Fatal."""
    if settings.serving_dsn is None:
        raise Fatal("READSIDE_SERVING_DSN is not set; start the stack with `readside up`, or name the store")
    try:
        return psycopg.connect(settings.serving_dsn.get_secret_value(), autocommit=True)
    except psycopg.OperationalError as exc:
        raise Transient(f"the serving store does not answer: {type(exc).__name__}; see `readside status`") from exc


def prepare(store: Connection) -> None:
    """Make the table if it is missing."""
    if store.execute("select to_regclass('readside.verified')").fetchone() == (None,):
        store.execute(_TABLE)


def note(store: Connection, verdict: Verdict) -> None:
    """Note what comparing one table or model gave."""
    store.execute(
        """
        insert into readside.verified as v (name, store, verified_at, end_lsn, rows, differences, found)
        values (%(name)s, %(store)s, now(), %(position)s, %(rows)s, %(differences)s, %(differences)s)
            on conflict (name) do update
           set verified_at = excluded.verified_at, end_lsn = excluded.end_lsn, rows = excluded.rows,
               differences = excluded.differences,
               found = v.found + greatest(0, excluded.differences - v.differences),
               repaired = v.repaired + greatest(0, v.differences - excluded.differences)
        """,
        {
            "name": verdict.model,
            "store": verdict.store,
            "position": verdict.position,
            "rows": verdict.rows,
            "differences": verdict.differences,
        },
    )


def keep_only(store: Connection, names: Collection[str]) -> None:
    """Forget what is not there any more."""
    store.execute("delete from readside.verified where name <> all(%(names)s)", {"names": list(names)})


def differing(store: Connection) -> frozenset[str]:
    """The names of what differed when it was last looked at; nothing before the first round."""
    if store.execute("select to_regclass('readside.verified')").fetchone() == (None,):
        return frozenset()
    rows = store.execute("select name from readside.verified where differences > 0").fetchall()
    return frozenset(name for (name,) in rows)


def excused(store: Connection) -> frozenset[str]:
    """Source tables (schema.table) whose rows in the serving store are known to be behind: parked, or with dead letters."""
    rows = store.execute(
        """
        select "table" from readside.mirrored where parked is not null
         union
        select "table" from readside.dead_letters
        """
    ).fetchall()
    return frozenset(name for (name,) in rows)


def built_otherwise(store: Connection, fingerprints: Mapping[str, str]) -> dict[str, Declared | None]:
    """The serving store's models that were built from another declaration than the code's, which has these fingerprints: by
    name, what they were built from; None where nobody remembers."""
    return {
        name: built.declaration
        for name, built in read_built(store).items()
        if fingerprints.get(name, built.fingerprint) != built.fingerprint
    }


def generation(store: Connection) -> int:
    """The snapshot that the serving store continues."""
    row = store.execute(
        "select coalesce((state->>'generation')::int, 1) from readside.checkpoint where store = 'serving'"
    ).fetchone()
    return row[0] if row else 0

"""Idempotency keys: the same request twice is carried out once, and answered twice alike.

The answer is stored by the transaction that does the work, so there is no moment in which one exists without the
other. A refused request stores nothing: its key is free for another attempt.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Json

from writer.problems import IN_FLIGHT, KEY_REUSED, Problem
from writer.transaction import Database

_SWEEP_EVERY = 256  # answers kept between two sweeps of expired ones, on average
_SWEEP_ROWS = 1024  # most rows of one sweep; more than _SWEEP_EVERY, so that sweeping keeps up


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A request that names itself by a key."""

    key: str
    #: Who sends it. Another caller's same key is another key: nobody is answered with what somebody else did.
    caller: str
    route: str
    #: SHA-256 of the request's body.
    fingerprint: bytes
    #: Seconds after which a stored answer is forgotten.
    ttl_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The stored answer of an earlier attempt, and the transaction that did the work."""

    answer: dict[str, Any]
    xid: str


def recall(db: Database, attempt: Attempt) -> Memory | None:
    """What an earlier attempt answered, or None when this is the first; in that case others are kept out until the end.

    Raises `Problem`: another attempt is running now, or the key was used with another body.
    """
    named = {"key": attempt.key, "caller": attempt.caller, "route": attempt.route, "ttl_s": attempt.ttl_s}
    # Tried, not waited for. The lookup is a statement of its own, hence sees what the lock's last holder committed.
    lock = db.execute(
        """
        select pg_try_advisory_xact_lock(
                   hashtextextended(%(caller)s, hashtextextended(%(route)s || ' ' || %(key)s, 0))
               ) as ours
        """,
        named,
    )
    known = db.execute(
        """
        select fingerprint, answer, xid::text as xid
        from idempotency_keys
        where key = %(key)s
          and caller = %(caller)s
          and route = %(route)s
          and created_at > now() - make_interval(secs => %(ttl_s)s)
        """,
        named,
    )
    if lock.fetchone() != {"ours": True}:
        raise Problem(IN_FLIGHT, "a request with this Idempotency-Key has not ended", headers={"Retry-After": "1"})
    row = known.fetchone()
    if row is None:
        return None
    if row["fingerprint"] != attempt.fingerprint:
        raise Problem(KEY_REUSED, "this Idempotency-Key came with another body before")
    return Memory(answer=row["answer"], xid=row["xid"])


def keep(db: Database, attempt: Attempt, answer: dict[str, Any]) -> None:
    """Store the answer with the work. An expired answer under the same key is replaced."""
    db.execute(
        """
        insert into idempotency_keys (key, caller, route, fingerprint, answer, xid)
        values (%(key)s, %(caller)s, %(route)s, %(fingerprint)s, %(answer)s, pg_current_xact_id())
        on conflict (key, caller, route) do update
        set fingerprint = excluded.fingerprint,
            answer = excluded.answer,
            xid = excluded.xid,
            created_at = now()
        """,
        {
            "key": attempt.key,
            "caller": attempt.caller,
            "route": attempt.route,
            "fingerprint": attempt.fingerprint,
            "answer": Json(answer),
        },
    )
    # Whoever adds rows now and then removes some: no thread, no clock, and no work while nothing is written.
    if random.randrange(_SWEEP_EVERY) == 0:
        _sweep(db, attempt.ttl_s)


def _sweep(db: Database, ttl_s: float) -> None:
    db.execute(
        """
        delete from idempotency_keys
        where ctid in (
            select ctid
            from idempotency_keys
            where created_at < now() - make_interval(secs => %(ttl_s)s)
            order by created_at
            limit %(rows)s
            for update skip locked
        )
        """,
        {"ttl_s": ttl_s, "rows": _SWEEP_ROWS},
    )

"""What the background verification found, as the serving store tells it, and what it means for a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from queries.pipeline import State, Verified
from queries.store import rfc3339


def verified_in(conn: psycopg.Connection[Any]) -> tuple[Verified, ...]:
    """Of both stores; nothing before the first round."""
    if conn.execute("select to_regclass('readside.verified')").fetchone() == (None,):
        return ()
    found = conn.execute(
        """
        select name, store, verified_at, rows, differences, found, repaired
          from readside.verified
         order by name
        """
    ).fetchall()
    return tuple(
        Verified(name=name, store=store, at=rfc3339(at), rows=rows, differences=differ, found=ever, repaired=repaired)
        for name, store, at, rows, differ, ever, repaired in found
    )


def exactness(found: Sequence[Verified], store: str) -> tuple[State, str]:
    """The state of a store by what was found of it, and what to do."""
    differing = [f"{one.name} ({one.differences} rows)" for one in found if one.store == store and one.differences]
    if not differing:
        return "ok", ""
    return "degraded", (
        f"not equal to the source: {', '.join(differing)}; `readside verify` shows the rows, `readside verify --repair` "
        "makes them equal"
    )

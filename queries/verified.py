"""What the background verification found, as the serving store tells it, and what it means for a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from queries.pipeline import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found of a read model, or of a mirrored table as mirror.TABLE."""

    name: str
    store: str
    at: datetime
    differences: int


def verified_in(conn: psycopg.Connection[Any]) -> tuple[Verified, ...]:
    """Of both stores; nothing before the first round."""
    if conn.execute("select to_regclass('readside.verified')").fetchone() == (None,):
        return ()
    rows = conn.execute("select name, store, verified_at, differences from readside.verified order by name").fetchall()
    return tuple(Verified(name=name, store=store, at=at, differences=many) for name, store, at, many in rows)


def exactness(found: Sequence[Verified], store: str) -> tuple[State, str]:
    """The state of a store by what was found of it, and what to do."""
    differing = [f"{one.name} ({one.differences} rows)" for one in found if one.store == store and one.differences]
    if not differing:
        return "ok", ""
    return "degraded", (
        f"not equal to the source: {', '.join(differing)}; `readside verify` shows the rows, `readside verify --repair` "
        "makes them equal"
    )

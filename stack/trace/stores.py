"""The row in a store: what stands there, how far the store is, what became of each record, and what is parked."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import httpx
import psycopg
from psycopg.sql import SQL, Identifier

from cdc.lsn import lsn_value
from config.settings import Settings
from projectors.declaration import StoreName
from projectors.letters import Place, canonical
from projectors.serving.letters import stored_letters
from stack.trace.log import Passage
from stack.trace.sought import Sought
from stack.trace.source import parameters, same_key, session

#: waiting: not read, or read as part of a transaction that is not whole yet; parked: a dead letter.
Fate = Literal["applied", "waiting", "parked"]

_AGAIN_S = 0.1
_HTTP_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRow:
    """What a store says of the row. ``fault`` is why it says nothing; the rest is empty then."""

    store: StoreName
    fault: str = ""
    kept: bool = True  #: whether it takes in the row's table at all
    present: bool = False
    end_lsn: int = 0
    committed_at: datetime | None = None  #: of the last transaction in it, at the source
    applied_at: datetime | None = None  #: when it applied that
    fates: Mapping[Place, Fate] = field(default_factory=dict[Place, Fate])
    #: When the transactions of the row's records were applied, by xid; known for about a minute.
    applied: Mapping[int, datetime] = field(default_factory=dict[int, datetime])
    letters: tuple[Mapping[str, Any], ...] = ()  #: parked changes of the row, without values
    row: Mapping[str, Any] | None = None  #: to compare; shown to nobody. None where the store does not tell it

    def holds(self, lsn: int) -> bool:
        """Whether it contains everything that was committed before this position."""
        return self.end_lsn >= lsn


def serving(settings: Settings, sought: Sought, passages: Sequence[Passage], *, past: int, wait_s: float) -> StoreRow:
    """The serving store, once it is past a position of the source or the time is over."""
    dsn = settings.queries_dsn
    if dsn is None:
        return StoreRow(store="serving", fault="READSIDE_QUERIES_DSN is not set")
    deadline = time.monotonic() + wait_s
    try:
        while True:
            with session(dsn.get_secret_value()) as connection:
                seen = _serving(connection, sought, passages)
            if not seen.kept or seen.holds(past) or time.monotonic() > deadline:
                return seen
            time.sleep(_AGAIN_S)
    except psycopg.errors.UndefinedTable:
        return StoreRow(store="serving", fault="the store is empty: its projector never ran; see projector-serving.log")
    except psycopg.Error as exc:
        return StoreRow(store="serving", fault=f"the serving store does not answer ({type(exc).__name__})")


def _serving(connection: psycopg.Connection[Any], sought: Sought, passages: Sequence[Passage]) -> StoreRow:
    # All of it in one snapshot, so that row and position are of one moment.
    position = connection.execute(
        """
        select end_lsn::text, committed_at, applied_at, state
          from readside.checkpoint
         where store = 'serving'
        """
    ).fetchone()
    assert position is not None
    end_lsn, committed_at, applied_at, state = position
    if sought.table.topic not in state.get("topics", ()):
        return StoreRow(store="serving", kept=False, end_lsn=lsn_value(end_lsn), committed_at=committed_at)
    found = connection.execute(
        SQL("select to_jsonb(t) from {} t where {}").format(
            Identifier("mirror", sought.table.mirror), same_key(sought)
        ),
        parameters(sought),
    ).fetchone()
    xids = [passage.change.xid for passage in passages if passage.change.xid is not None]
    applied = connection.execute(
        "select xid, applied_at from readside.recent_transactions where xid = any(%(xids)s)", {"xids": xids}
    ).fetchall()
    letters = _of_row(sought, passages, (letter.shown for letter in stored_letters(connection)))
    return StoreRow(
        store="serving",
        present=found is not None,
        end_lsn=lsn_value(end_lsn),
        committed_at=committed_at,
        applied_at=applied_at,
        fates=_fates(passages, state, letters),
        applied=dict(applied),
        letters=letters,
        row=found[0] if found else {},
    )


def analytics(settings: Settings, sought: Sought, passages: Sequence[Passage], *, past: int, wait_s: float) -> StoreRow:
    """The analytics store, once it is past a position of the source or the time is over."""
    deadline = time.monotonic() + wait_s
    try:
        with httpx.Client(base_url=f"http://{settings.analytics_address}", timeout=_HTTP_S, trust_env=False) as client:
            at = client.get("/state").raise_for_status().json()
            while lsn_value(at["end_lsn"]) < past and time.monotonic() < deadline:
                time.sleep(_AGAIN_S)
                at = client.get("/state").raise_for_status().json()
            return _analytics(client, at, sought, passages)
    except httpx.HTTPStatusError as exc:
        return StoreRow(
            store="analytics", fault=f"the analytics store refused: {exc.response.json().get('detail', '')}"
        )
    except httpx.HTTPError as exc:
        return StoreRow(store="analytics", fault=f"the analytics projector does not answer ({type(exc).__name__})")


def _analytics(client: httpx.Client, at: Mapping[str, Any], sought: Sought, passages: Sequence[Passage]) -> StoreRow:
    # The row is read after the position was told, so it is no older than that.
    end_lsn = lsn_value(at["end_lsn"])
    committed_at = datetime.fromisoformat(at["committed_at"]) if at["committed_at"] else None
    if sought.table.topic not in at["state"].get("topics", ()):
        return StoreRow(store="analytics", kept=False, end_lsn=end_lsn, committed_at=committed_at)
    same = " and ".join(f"{Identifier(name).as_string()} = $key{place}" for place, name in enumerate(sought.key))
    table = Identifier("mirror", sought.table.mirror).as_string()
    asked = {"sql": f"select count(*) from {table} where {same}", "parameters": parameters(sought)}  # noqa: S608  # quoted
    found = client.post("/sql", json=asked).raise_for_status().json()
    told = client.get("/dead-letters").raise_for_status().json()
    letters = _of_row(sought, passages, told["letters"])
    return StoreRow(
        store="analytics",
        present=found["rows"][0][0] > 0,
        end_lsn=end_lsn,
        committed_at=committed_at,
        fates=_fates(passages, at["state"], letters),
        letters=letters,
    )


def _fates(
    passages: Iterable[Passage], state: Mapping[str, Any], letters: Collection[Mapping[str, Any]]
) -> dict[Place, Fate]:
    """By the checkpoint's own words: what lies before its frontier was read, and is applied unless its transaction waits."""
    parked = {letter["id"] for letter in letters}
    frontier, pending = state.get("frontier", {}), set(state.get("pending", ()))
    fates: dict[Place, Fate] = {}
    for passage in passages:
        place = passage.place
        read = place.offset < frontier.get(place.topic, {}).get(str(place.partition), 0)
        applied = read and passage.change.xid not in pending
        fates[place] = "parked" if str(place) in parked else "applied" if applied else "waiting"
    return fates


def _of_row(
    sought: Sought, passages: Iterable[Passage], letters: Iterable[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], ...]:
    """The dead letters of the row: by their key's hash, for nobody tells the key itself."""
    keys = {key for passage in passages for key in (passage.change.key, passage.change.old_key) if key is not None}
    keys.add(json.dumps(dict(sought.key)).encode())
    hashes = {hashlib.sha256(canonical(key)).hexdigest()[:16] for key in keys}
    table = sought.table.qualified
    return tuple(letter for letter in letters if letter["table"] == table and letter["key_hash"] in hashes)

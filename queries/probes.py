"""Looks at each component of the pipeline, briefly: what it says of itself, or an exception. Nothing is judged here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import httpx
import msgspec
import psycopg
from psycopg import sql

from config.settings import Settings
from projectors.serving.rebuilds import progress
from queries.pipeline import ModelRebuild, Verified
from queries.verified import verified_in

TIMEOUT_S = 1.0
COUNTED_ROWS = 10_000  # larger tables are shown with PostgreSQL's own estimate
#: Offsets by topic and partition: {topic: {partition: offset}}.
Offsets = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a store stands."""

    phase: str
    end_lsn: str
    committed_at: datetime | None
    changes: int  #: applied since ever
    rate: float
    frontier: Offsets
    #: The topics it reads; none known before its first commit.
    topics: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A read model's table."""

    name: str
    version: int | None
    rows: int
    incomplete: str | None = None  #: why rows of it may be behind
    rebuild: ModelRebuild | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreView:
    """A store's position, None before its projector ever ran, and its read models."""

    position: Position | None
    models: tuple[Rows, ...]
    dead_letters: int = 0
    #: What the background verification found, of both stores; only the serving store tells.
    verified: tuple[Verified, ...] = ()


class _State(msgspec.Struct):
    phase: str
    end_lsn: str
    committed_at: datetime | None
    changes: int
    rate: float
    state: dict[str, Any]
    dead_letters: int = 0
    incomplete: dict[str, str] = {}


class _Connector(msgspec.Struct):
    connector: dict[str, str]
    tasks: list[dict[str, Any]]


def serving(dsn: str) -> StoreView:
    """The serving store."""
    with connected(dsn) as conn:
        if conn.execute("select to_regclass('readside.declared')").fetchone() == (None,):
            return StoreView(position=None, models=())
        row = conn.execute(
            """
            select phase, end_lsn::text, committed_at, changes, rate, state -> 'frontier', state -> 'topics'
              from readside.checkpoint
             where store = 'serving'
            """
        ).fetchone()
        models = conn.execute(
            """
            select d.name, d.version, coalesce(s.n_live_tup, 0),
                   case when d.parked is not null then 'parked: ' || d.parked
                        when d.dead_letters > 0 then d.dead_letters || ' dead letters' end
              from readside.declared d
              join pg_stat_user_tables s on s.schemaname = 'read_models' and s.relname = d.name
             where d.kind = 'read_model' and d.name !~ '__(next|former)$'
             order by d.name
            """
        ).fetchall()
        rebuilt = _rebuilt(conn)
        counted = tuple(
            Rows(
                name=name,
                version=version,
                rows=_rows(conn, name, many),
                incomplete=incomplete,
                rebuild=rebuilt.get(name),
            )
            for name, version, many, incomplete in models
        )
        parked = conn.execute("select count(*) from readside.dead_letters").fetchone()
        verified = verified_in(conn)
    if row is None:
        return StoreView(position=None, models=counted)
    phase, end_lsn, committed_at, changes, rate, frontier, topics = row
    position = Position(
        phase=phase,
        end_lsn=end_lsn,
        committed_at=committed_at,
        changes=changes,
        rate=rate,
        frontier=frontier or {},
        topics=frozenset(topics or ()),
    )
    return StoreView(position=position, models=counted, dead_letters=parked[0] if parked else 0, verified=verified)


def _rebuilt(conn: psycopg.Connection[Any]) -> dict[str, ModelRebuild]:
    """By name, the read models of which a next version is being built."""
    if conn.execute("select to_regclass('readside.candidates')").fetchone() == (None,):
        return {}  # an earlier release's store
    return {
        each.name: ModelRebuild(
            state=each.state,
            done=each.done,
            total=each.total,
            rate=each.rate,
            eta_seconds=None if each.eta_seconds is None else round(each.eta_seconds, 1),
        )
        for each in progress(conn)
    }


def _rows(conn: psycopg.Connection[Any], model: str, estimate: int) -> int:
    counted = conn.execute(
        sql.SQL("select count(*) from (select from {model} limit %(most)s) m").format(
            model=sql.Identifier("read_models", model)
        ),
        {"most": COUNTED_ROWS + 1},
    ).fetchone()
    exact = counted[0] if counted else 0
    return exact if exact <= COUNTED_ROWS else max(exact, estimate)


def analytics(settings: Settings) -> StoreView:
    """The analytics store, over its projector's endpoint."""
    base = f"http://{settings.analytics_address}"
    at = msgspec.json.decode(_http().get(f"{base}/state").raise_for_status().content, type=_State)
    position = Position(
        phase=at.phase,
        end_lsn=at.end_lsn,
        committed_at=at.committed_at,
        changes=at.changes,
        rate=at.rate,
        frontier=at.state.get("frontier", {}),
        topics=frozenset(at.state.get("topics", ())),
    )
    counted = _http().get(f"{base}/rows").raise_for_status()
    rows = msgspec.json.decode(counted.content, type=dict[str, int])
    models = tuple(
        Rows(name=name, version=None, rows=many, incomplete=at.incomplete.get(name)) for name, many in rows.items()
    )
    return StoreView(position=position, models=models, dead_letters=at.dead_letters)


def connector(settings: Settings) -> tuple[str, str] | None:
    """State of the connector and of its task; None when Connect does not know it."""
    answer = _http().get(f"{settings.connect_url.rstrip('/')}/connectors/{settings.connector}/status")
    if answer.status_code == 404:
        return None
    status = msgspec.json.decode(answer.raise_for_status().content, type=_Connector)
    return status.connector["state"], str(status.tasks[0]["state"]) if status.tasks else "NONE"


def alive(address: str) -> None:
    """Returns when one of our HTTP servers answers."""
    _http().get(f"http://{address}/livez").raise_for_status()


@cache
def _http() -> httpx.Client:
    # No connection is kept: a look every second or so gains nothing from it, and none is left open at the end.
    return httpx.Client(timeout=TIMEOUT_S, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def connected(dsn: str) -> psycopg.Connection[Any]:
    """A connection for one look, which changes nothing."""
    return psycopg.connect(
        dsn,
        autocommit=True,
        connect_timeout=2,  # seconds, the least libpq takes; the collector itself waits less
        application_name="readside-health",
        options=f"-c default_transaction_read_only=on -c statement_timeout={int(TIMEOUT_S * 1000)}",
    )

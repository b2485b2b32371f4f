"""Looks at each component of the pipeline, briefly: what it says of itself, or an exception. Nothing is judged here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
from psycopg import sql

from config.settings import Settings
from projectors import registry

TIMEOUT_S = 1.0
WAITED_S = 5.0  # after which what a process said it waits for is no news
_LAST_BYTES = 16_384
#: By component: its log, and the action of its line that says what it waits for.
_WAITING = {
    "projector-serving": ("projector-serving.log", "projector_waits"),
    "projector-analytics": ("projector-analytics.log", "projector_waits"),
    "connector": ("supervisor.log", "connector_waits"),
}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreView:
    """A store's position, None before its projector ever ran, and its read models."""

    position: Position | None
    models: tuple[Rows, ...]
    dead_letters: int = 0


class _State(msgspec.Struct):
    phase: str
    end_lsn: str
    committed_at: datetime | None
    changes: int
    rate: float
    state: dict[str, Any]
    dead_letters: int = 0
    incomplete: dict[str, str] = {}


class _Counts(msgspec.Struct):
    rows: list[tuple[str, int]]


class _Connector(msgspec.Struct):
    connector: dict[str, str]
    tasks: list[dict[str, Any]]


class Supervised(msgspec.Struct, frozen=True):
    """A component as the native stack's supervisor notes it in stack.json."""

    name: str
    #: As `stack.state.ComponentState` has it.
    state: str = ""
    pid: int | None = None
    restarts: int = 0
    #: Why it refused to run, when it last did.
    error: str = ""
    #: What it waits for, as its log says; empty when that was some time ago.
    waits: str = ""

    @property
    def running(self) -> bool:
        """Whether the process is there now."""
        if self.pid is None:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it is there, and another user's
            return True
        return True

    @property
    def halted(self) -> list[int]:
        """Those of the process and all that it has started that a signal has stopped."""
        if self.pid is None:
            return []
        found = _processes()
        family = [self.pid]
        for each in family:
            family += [child for child, (_state, parent) in found.items() if parent == each]
        return [each for each in family if found.get(each, ("", 0))[0] == "T"]

    def silence(self, fault: str) -> str:
        """Why it does not answer, by what its process does, and what to do."""
        log = f"see its log, {self.name}.log"
        if not self.running:
            return f"is not running; the supervisor starts it again; {log}"
        if halted := self.halted:
            return f"its process is stopped and does nothing; let it go on: `kill -CONT {' '.join(map(str, halted))}`"
        if self.state == "starting" and self.restarts:
            return f"ended and is started again, for the {self.restarts}. time; {log}"
        return f"does not answer ({fault}), though its process runs: it hangs, or the way to it is cut; {log}"


def _processes() -> dict[int, tuple[str, int]]:
    """The state and the parent of each process of this machine; nothing where this is no Linux."""
    found: dict[int, tuple[str, int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            found[int(stat.parent.name)] = state, int(parent)
    return found


class _Said(msgspec.Struct):
    at: datetime
    message: str


class _StackFile(msgspec.Struct):
    components: list[Supervised]
    error: str = ""


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
        counted = tuple(
            Rows(name=name, version=version, rows=_rows(conn, name, many), incomplete=incomplete)
            for name, version, many, incomplete in models
        )
        parked = conn.execute("select count(*) from readside.dead_letters").fetchone()
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
    return StoreView(position=position, models=counted, dead_letters=parked[0] if parked else 0)


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
    names = [model.name for model in registry.load(settings.models).of_store("analytics").read_models]
    if at.phase == "snapshot" or not names:
        return StoreView(position=position, models=(), dead_letters=at.dead_letters)
    # The names come from declarations, which allow plain identifiers only.
    counts = " union all ".join(f"select '{name}' as name, count(*) as rows from {name}" for name in sorted(names))  # noqa: S608
    answer = _http().post(f"{base}/sql", json={"sql": counts}).raise_for_status()
    rows = msgspec.json.decode(answer.content, type=_Counts).rows
    models = tuple(Rows(name=name, version=None, rows=many, incomplete=at.incomplete.get(name)) for name, many in rows)
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


def supervised(settings: Settings) -> dict[str, Supervised]:
    """What the native stack's supervisor notes of each component and of the connector; nothing where another runs them."""
    path = settings.data_dir / "stack.json"
    if not path.exists():
        return {}
    noted = msgspec.json.decode(path.read_bytes(), type=_StackFile)
    # The connector lives in Connect; its supervision is a thread of the supervisor.
    named = (*noted.components, Supervised(name="connector", error=noted.error))
    logs = settings.data_dir / "logs"
    return {each.name: msgspec.structs.replace(each, waits=_waits(logs, each.name)) for each in named}


def _waits(logs: Path, name: str) -> str:
    """The last word of a process of ours that waits for another, if it was said just now: our own, without values."""
    file, action = _WAITING.get(name, ("", ""))
    try:
        with (logs / file).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_BYTES))
            lines = log.read().splitlines()
    except OSError:  # it is nobody we ask, or it has said nothing yet
        return ""
    newest = datetime.now(UTC) - timedelta(seconds=WAITED_S)
    for line in reversed(lines):
        if b'"%s"' % action.encode() in line:
            with contextlib.suppress(msgspec.MsgspecError):
                said = msgspec.json.decode(line, type=_Said)
                return " ".join(said.message.split()) if said.at > newest else ""
    return ""


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

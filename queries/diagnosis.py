"""Judges what the probes saw: each component's and hop's state, and why it is not well. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from queries.pipeline import Component, Hop, Model, State
from queries.probes import Offsets, Position, Slot, StoreView, Supervised
from queries.store import rfc3339

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen(Generic[T]):
    """What a probe saw, or the fault that kept it from seeing."""

    value: T | None = None
    #: Empty when it saw; else one or two words, never a secret.
    fault: str = ""
    #: The setting that would say where to look.
    unset: str = ""

    @property
    def state(self) -> State:
        """The state of a component of which answering is all that can be asked."""
        return "unknown" if self.unset else "down" if self.fault else "ok"

    def why(self, name: str) -> str:
        """Why there is nothing to see."""
        if self.unset:
            return f"{self.unset} is not set, so nobody looked"
        return f"does not answer ({self.fault}); see its log, {name}.log, or ./readside up" if self.fault else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """All that the probes saw at one moment."""

    at: datetime
    #: Seconds after which a store's moment is old, whether or not anything is left to read.
    stale_s: float
    #: Topics whose records are no changes.
    bookkeeping: frozenset[str]
    slot: Seen[Slot | None]
    connector: Seen[tuple[str, str] | None]
    log: Seen[tuple[Offsets, float | None]]
    serving: Seen[StoreView]
    analytics: Seen[StoreView]
    writer: Seen[None]
    queries: Seen[None]
    supervised: Mapping[str, Supervised] = field(default_factory=dict[str, Supervised])


def components(sight: Sight) -> tuple[Component, ...]:
    """Every process, in the order the data goes through them."""
    database = sight.slot if sight.slot.fault else sight.serving
    return (
        _component(sight, "postgres", database.state, database.why("postgres")),
        _component(sight, "kafka", sight.log.state, sight.log.why("kafka")),
        _component(sight, "connect", sight.connector.state, sight.connector.why("connect")),
        _component(sight, "writer", sight.writer.state, sight.writer.why("writer")),
        _serving_projector(sight),
        _component(sight, "projector-analytics", sight.analytics.state, sight.analytics.why("projector-analytics")),
        _component(sight, "queries", sight.queries.state, sight.queries.why("queries")),
    )


def _component(sight: Sight, name: str, state: State, why: str) -> Component:
    noted = sight.supervised.get(name)
    pid, restarts = (noted.pid, noted.restarts) if noted else (None, None)
    if noted and noted.error:
        state, why = "down", noted.error
    return Component(name=name, state=state, why=why, pid=pid, restarts=restarts)


def _serving_projector(sight: Sight) -> Component:
    """It has no endpoint: its process tells where the supervisor knows it, else its store does."""
    name = "projector-serving"
    if (noted := sight.supervised.get(name)) is not None:
        gone = "" if noted.running else f"is not running; see its log, {name}.log; the supervisor starts it again"
        return _component(sight, name, "down" if gone else "ok", gone)
    hop = store_hop(sight, "serving", sight.serving)
    stuck = hop.state != "ok" and bool(hop.lag_changes)
    return _component(sight, name, "degraded" if stuck else "ok" if hop.state == "ok" else "unknown", hop.why)


def hops(sight: Sight) -> tuple[Hop, ...]:
    """Every step, in the order the data takes them."""
    return (
        _capture(sight.slot),
        _transport(sight),
        store_hop(sight, "serving", sight.serving),
        store_hop(sight, "analytics", sight.analytics),
    )


def _capture(seen: Seen[Slot | None]) -> Hop:
    slot = seen.value
    if slot is None:
        missing = "the replication slot does not exist; ./readside doctor says how to begin anew"
        return Hop(
            name="capture", state=seen.state if seen.state != "ok" else "down", why=seen.why("postgres") or missing
        )
    state: State = "ok"
    why = ""
    if slot.wal_status == "lost":
        state, why = "down", "the slot lost WAL it needed: changes are gone; begin anew with a fresh snapshot"
    elif slot.wal_status == "unreserved":
        state, why = "degraded", "the server is about to remove WAL the slot needs; let Connect catch up now"
    elif not slot.active:
        state, why = "degraded", "nobody reads the slot and WAL piles up; look at the connector"
    figures = {
        "wal_status": slot.wal_status,
        "retained_bytes": slot.retained_bytes,
        "unconfirmed_bytes": slot.unconfirmed_bytes,
        "safe_bytes": slot.safe_bytes,
    }
    return Hop(name="capture", state=state, why=why, figures=figures)


def _transport(sight: Sight) -> Hop:
    rate = sight.log.value[1] if sight.log.value else None
    if sight.log.fault:
        return Hop(name="transport", state="down", why=f"Kafka {sight.log.why('kafka')}")
    if sight.connector.fault:
        return Hop(name="transport", state="down", why=f"Connect {sight.connector.why('connect')}", rate=rate)
    supervision = sight.supervised.get("connector")
    if supervision and supervision.error:
        return Hop(name="transport", state="down", why=supervision.error, rate=rate)
    if sight.connector.value is None:
        return Hop(name="transport", state="down", why="Connect does not know the connector yet", rate=rate)
    connector, task = sight.connector.value
    figures = {"connector": connector, "task": task}
    well = connector == task == "RUNNING"
    why = "" if well else f"the connector is {connector}, its task {task}; see connect.log"
    return Hop(name="transport", state="ok" if well else "down", why=why, rate=rate, figures=figures)


def store_hop(sight: Sight, name: str, seen: Seen[StoreView]) -> Hop:
    """From Kafka into a store."""
    position = seen.value.position if seen.value else None
    log = f"projector-{name}"
    if position is None:
        never = f"the store is empty: its projector never ran; see {log}.log"
        return Hop(name=name, state=seen.state if seen.state != "ok" else "down", why=seen.why(log) or never)
    lag_changes = _lag(sight.log.value[0], position, sight.bookkeeping) if sight.log.value else None
    age_s = (sight.at - position.committed_at).total_seconds() if position.committed_at else None
    behind = bool(lag_changes) or (age_s is not None and age_s > sight.stale_s)
    state, why = _lateness(position, lag_changes, age_s, sight.stale_s, log)
    if state == "ok" and seen.value is not None:
        state, why = _completeness(seen.value)
    if state == "ok":
        state, why = _exactness(sight, name)
    return Hop(
        name=name,
        state=state,
        why=why,
        rate=position.rate,
        lag_changes=lag_changes,
        lag_seconds=None if age_s is None else round(max(0.0, age_s), 3) if behind else 0.0,
        figures={"phase": position.phase, "end_lsn": position.end_lsn, "changes": position.changes},
    )


def _lateness(
    position: Position, lag_changes: int | None, age_s: float | None, stale_s: float, log: str
) -> tuple[State, str]:
    if position.phase == "snapshot":
        return "degraded", "the first snapshot is being loaded"
    if age_s is None or age_s <= stale_s:
        return "ok", ""
    if lag_changes:
        return "degraded", f"{lag_changes} changes are not applied yet: the projector is behind or stuck; see {log}.log"
    return "degraded", f"nothing has come for {age_s:.0f} s, not even a pulse; look at capture and transport"


def _completeness(view: StoreView) -> tuple[State, str]:
    if view.dead_letters:
        return "degraded", f"{view.dead_letters} changes are parked; see `readside dead-letters list`"
    if parked := [f"{rows.name} ({rows.incomplete})" for rows in view.models if rows.incomplete]:
        return "degraded", f"read models stand still: {', '.join(parked)}"
    return "ok", ""


def _exactness(sight: Sight, store: str) -> tuple[State, str]:
    verified = sight.serving.value.verified if sight.serving.value else ()
    differing = [f"{one.name} ({one.differences} rows)" for one in verified if one.store == store and one.differences]
    if not differing:
        return "ok", ""
    return "degraded", (
        f"not equal to the source: {', '.join(differing)}; `readside verify` shows the rows, `readside verify --repair` "
        "makes them equal"
    )


def _lag(ends: Offsets, position: Position, bookkeeping: frozenset[str]) -> int:
    read = {topic: ends[topic] for topic in ends if topic in position.topics or not position.topics}
    return lag_of(read, position.frontier, bookkeeping)


def lag_of(ends: Offsets, frontier: Offsets, bookkeeping: frozenset[str]) -> int:
    """Records of changes that lie in Kafka and were not read yet."""
    return sum(
        max(0, end - frontier.get(topic, {}).get(partition, 0))
        for topic, partitions in ends.items()
        if topic not in bookkeeping
        for partition, end in partitions.items()
    )


def models(sight: Sight) -> tuple[Model, ...]:
    """The read models of both stores."""
    verified = {one.name: rfc3339(one.at) for one in (sight.serving.value.verified if sight.serving.value else ())}
    return tuple(
        Model(
            name=rows.name,
            store=name,
            version=rows.version,
            as_of=_as_of(seen.value),
            rows=rows.rows,
            incomplete=rows.incomplete,
            verified=verified.get(rows.name),
        )
        for name, seen in (("serving", sight.serving), ("analytics", sight.analytics))
        if seen.value is not None
        for rows in seen.value.models
    )


def dead_letters(sight: Sight) -> int:
    """Parked changes, of both stores."""
    return sum(seen.value.dead_letters for seen in (sight.serving, sight.analytics) if seen.value is not None)


def _as_of(view: StoreView) -> str | None:
    return rfc3339(view.position.committed_at) if view.position and view.position.committed_at else None

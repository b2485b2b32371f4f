"""Judges what the probes saw: each component's and hop's state, and why it is not well. Pure functions."""

from __future__ import annotations

from typing import Any

from queries.capture import CLOCKS_S, clocks_differ, judged
from queries.pipeline import Component, Hop, Model, State, Verified
from queries.probes import Offsets, Position, StoreView
from queries.sight import Seen, Sight
from queries.store import rfc3339
from queries.verified import exactness


def components(sight: Sight) -> tuple[Component, ...]:
    """Every process, in the order the data goes through them."""
    database = sight.slot if sight.slot.fault else sight.serving
    return (
        _component(sight, "postgres", database),
        _component(sight, "kafka", sight.log),
        _component(sight, "connect", sight.connector),
        _component(sight, "writer", sight.writer),
        _component(sight, "projector-serving", _serving_projector(sight)),
        _component(sight, "projector-analytics", sight.analytics),
        _component(sight, "queries", sight.queries),
    )


def _component(sight: Sight, name: str, seen: Seen[Any]) -> Component:
    noted = sight.supervised.get(name)
    state, why = seen.state, seen.why(name)
    if noted and noted.error:
        state, why = "down", _remedied(noted.error)
    elif noted and seen.fault:
        why = noted.silence(seen.fault)
    pid, restarts = (noted.pid, noted.restarts) if noted else (None, None)
    return Component(name=name, state=state, why=why, pid=pid, restarts=restarts)


def _serving_projector(sight: Sight) -> Seen[None]:
    """Its endpoint is on its own machine's loopback; from elsewhere its store tells that it lives."""
    if "projector-serving" in sight.supervised or not sight.projector.fault:
        return sight.projector
    age_s = _age(sight, sight.serving)
    return sight.projector if age_s is None or age_s > sight.stale_s else Seen()


def hops(sight: Sight) -> tuple[Hop, ...]:
    """Every step, in the order the data takes them."""
    capture, transport = _capture(sight), _transport(sight)
    # What a store waits for is said of the store too: the first that is not well of all before it, but for a slot that
    # nobody reads, which is Connect's doing.
    steps = (capture, transport) if sight.slot.fault else (transport, capture)
    before = next((hop.why for hop in steps if hop.state in ("degraded", "down")), "")
    return (
        capture,
        transport,
        store_hop(sight, "serving", sight.serving, before),
        store_hop(sight, "analytics", sight.analytics, before),
    )


def _capture(sight: Sight) -> Hop:
    if sight.slot.state != "ok":
        return Hop(name="capture", state=sight.slot.state, why=_named(sight, "postgres", sight.slot))
    return judged(sight.slot.value, sight.alarm)


def _transport(sight: Sight) -> Hop:
    rate = sight.log.value[1] if sight.log.value else None
    state, why = _connector(sight)
    figures: dict[str, str | int | None] = {}
    if sight.connector.value is not None:
        figures["connector"], figures["task"] = sight.connector.value
    return Hop(name="transport", state=state, why=why, rate=rate, figures=figures)


def _connector(sight: Sight) -> tuple[State, str]:
    if sight.log.fault:
        return "down", _named(sight, "kafka", sight.log)
    if sight.connector.fault:
        return "down", _named(sight, "connect", sight.connector)
    supervision = sight.supervised.get("connector")
    if supervision and supervision.error:
        return "down", _remedied(supervision.error)
    if sight.connector.value is None:
        waits = f": {supervision.waits}" if supervision and supervision.waits else ""
        return "down", f"Connect does not know the connector yet{waits}; its supervision makes it"
    connector, task = sight.connector.value
    if connector in ("PAUSED", "STOPPED") and supervision and supervision.waits:
        return "down", _remedied(supervision.waits)
    if connector == "PAUSED":
        on = f"`curl -X PUT {sight.connector_url}/resume`"
        return "down", f"the connector is PAUSED: somebody told it to be; let it go on: {on}"
    if connector != "RUNNING" or task != "RUNNING":
        if sight.slot.fault:
            return (
                "down",
                f"the connector's task is {task}, as it has no database; {_named(sight, 'postgres', sight.slot)}",
            )
        if connector == "STOPPED":
            return "down", (
                "the connector is STOPPED; its supervision starts it again at its slot, `readside doctor` says what it "
                "lacks; resumed by hand it would begin at its stored offset and could lose rows"
            )
        return "down", (
            f"the connector is {connector}, its task {task}; its supervision starts it again; `readside doctor` says what "
            f"it lacks, connect.log and `curl {sight.connector_url}/status` why it failed"
        )
    return ("degraded", _remedied(supervision.waits)) if supervision and supervision.waits else ("ok", "")


def _named(sight: Sight, name: str, seen: Seen[Any]) -> str:
    """Why a component is not seen, for whoever needs it."""
    if seen.unset:
        return seen.why(name)
    return f"{name}: {_component(sight, name, seen).why}"


def store_hop(sight: Sight, name: str, seen: Seen[StoreView], before: str = "") -> Hop:
    """From Kafka into a store. ``before``: what is wrong with the steps that lead to it."""
    projector = f"projector-{name}"
    position = seen.value.position if seen.value else None
    if position is None:
        process = "postgres" if name == "serving" else projector
        never = (
            _remedied(_waits(sight, projector)) or f"the store is empty: its projector never ran; see {projector}.log"
        )
        return Hop(
            name=name,
            state="down" if seen.state == "ok" else seen.state,
            why=never if seen.state == "ok" else _named(sight, process, seen),
        )
    lag_changes = _lag(sight.log.value[0], position, sight.bookkeeping) if sight.log.value else None
    age_s = _age(sight, seen)
    behind = bool(lag_changes) or (age_s is not None and age_s > sight.stale_s)
    state, why = _lateness(sight, projector, position, lag_changes, age_s, before)
    if state == "ok" and seen.value is not None:
        state, why = _completeness(seen.value)
    if state == "ok":
        state, why = exactness(verified(sight), name)
    return Hop(
        name=name,
        state=state,
        why=why,
        rate=position.rate,
        lag_changes=lag_changes,
        lag_seconds=None if age_s is None else round(max(0.0, age_s), 3) if behind else 0.0,
        figures={"phase": position.phase, "end_lsn": position.end_lsn, "changes": position.changes},
    )


def _age(sight: Sight, seen: Seen[StoreView]) -> float | None:
    """Seconds since the commit at the source that a store shows, by the source's clock where it was seen."""
    position = seen.value.position if seen.value else None
    if position is None or position.committed_at is None:
        return None
    ahead_s = sight.slot.value.clock_ahead_s if sight.slot.value else 0.0
    return (sight.at - position.committed_at).total_seconds() + ahead_s


def _lateness(
    sight: Sight, projector: str, position: Position, lag_changes: int | None, age_s: float | None, before: str
) -> tuple[State, str]:
    process = next(each for each in components(sight) if each.name == projector)
    cause = f"{projector}: {process.why}" if process.state == "down" else _remedied(_waits(sight, projector))
    if position.phase == "snapshot":
        return "degraded", cause or before or "the store is being opened, or its first snapshot loaded"
    if age_s is not None and age_s < -CLOCKS_S:
        return "degraded", clocks_differ(-age_s)
    if age_s is None or age_s <= sight.stale_s:
        return "ok", ""
    if cause:
        return "degraded", cause
    if before:
        return "degraded", f"nothing has come for {age_s:,.0f} s: {before}"
    if lag_changes:
        return "degraded", (
            f"{lag_changes} changes are not applied yet: the projector is behind or stuck; see {projector}.log"
        )
    return "degraded", (
        f"nothing has come for {age_s:,.0f} s, not even a pulse; nobody supervises the connector, or it does not go on: "
        "`./readside up`, or `python -m cdc`, and its log"
    )


def _waits(sight: Sight, name: str) -> str:
    noted = sight.supervised.get(name)
    return noted.waits if noted else ""


def _remedied(waits: str) -> str:
    """What a process says it waits for, with what to do where its words do not tell."""
    if "DiskFull" in waits or "No space left" in waits:
        return f"{waits}: its disk is full; free some space there (`df -h`), it goes on by itself"
    return waits


def _completeness(view: StoreView) -> tuple[State, str]:
    if view.dead_letters:
        settled = "`readside dead-letters retry --all` applies them, `readside dead-letters drop --all` gives them up"
        return "degraded", f"{view.dead_letters} changes are parked: see `readside dead-letters list`; {settled}"
    if parked := [f"{rows.name} ({rows.incomplete})" for rows in view.models if rows.incomplete]:
        return "degraded", f"read models stand still: {', '.join(parked)}"
    return "ok", ""


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
    verified_at = {one.name: one.at for one in verified(sight)}
    return tuple(
        Model(
            name=rows.name,
            store=name,
            version=rows.version,
            as_of=_as_of(seen.value),
            rows=rows.rows,
            incomplete=rows.incomplete,
            rebuild=rows.rebuild,
            verified=verified_at.get(rows.name),
        )
        for name, seen in (("serving", sight.serving), ("analytics", sight.analytics))
        if seen.value is not None
        for rows in seen.value.models
    )


def verified(sight: Sight) -> tuple[Verified, ...]:
    """What the background verification found in both stores; the serving store tells."""
    return sight.serving.value.verified if sight.serving.value else ()


def dead_letters(sight: Sight) -> int:
    """Parked changes, of both stores."""
    return sum(seen.value.dead_letters for seen in (sight.serving, sight.analytics) if seen.value is not None)


def _as_of(view: StoreView) -> str | None:
    return rfc3339(view.position.committed_at) if view.position and view.position.committed_at else None

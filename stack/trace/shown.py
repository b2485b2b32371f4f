"""A trace for people, hop by hop, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cdc.lsn import lsn_text
from projectors.checkpoint import time_of
from queries.store import rfc3339
from stack.tail import OPERATIONS
from stack.trace.log import Passage, Passages
from stack.trace.sought import Sought
from stack.trace.source import SourceRow
from stack.trace.stores import StoreRow
from stack.trace.touched import Touched
from stack.trace.verdict import Verdict, differing

_STYLES = {"ok": "green", "degraded": "yellow", "down": "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """All that was seen of a row."""

    sought: Sought
    source: SourceRow
    passages: Passages
    stores: tuple[StoreRow, ...]
    touched: tuple[Touched, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class _Hop:
    """A record's arrival somewhere; None where the time is not known."""

    name: str
    state: str
    at: datetime | None


def as_json(trace: Trace) -> dict[str, Any]:
    """Everything but values; times RFC 3339, delays in milliseconds since the hop before."""
    source, passages = trace.source, trace.passages
    return {
        "table": trace.sought.table.qualified,
        "key": dict(trace.sought.key),
        "state": trace.verdict.state,
        "verdict": trace.verdict.sentence,
        "source": {
            "fault": source.fault or None,
            "present": source.present,
            "lsn": lsn_text(source.lsn),
            "looked_at": _time(source.looked_at),
            "xid": source.xmin,
            "committed_at": _time(source.committed_at),
        },
        "kafka": {
            "fault": passages.fault or None,
            "records_read": passages.scanned,
            "all_read": passages.whole,
            "records": [_record(trace, passage) for passage in passages.found],
        },
        "stores": [_store(trace, store) for store in trace.stores],
        "read_models": [
            {
                "name": each.model,
                "store": each.store,
                "key": list(each.key),
                "rows": each.count,
                "first": [list(key) for key in each.first],
                "fault": each.fault or None,
            }
            for each in trace.touched
        ],
    }


def _record(trace: Trace, passage: Passage) -> dict[str, Any]:
    hops = _hops(trace, passage)
    return {
        "position": str(passage.place),
        "op": OPERATIONS[passage.change.op],
        "lsn": lsn_text(passage.change.lsn),
        "xid": passage.change.xid,
        "reason": passage.change.poison,
        "hops": [
            {"name": hop.name, "state": hop.state, "at": _time(hop.at), "delay_ms": delay}
            for hop, delay in zip(hops, _delays(hops), strict=True)
        ],
    }


def _store(trace: Trace, store: StoreRow) -> dict[str, Any]:
    return {
        "name": store.store,
        "fault": store.fault or None,
        "kept": store.kept,
        "present": store.present,
        "end_lsn": lsn_text(store.end_lsn),
        "committed_at": _time(store.committed_at),
        "applied_at": _time(store.applied_at),
        "past_source": store.holds(trace.source.lsn) and not trace.source.fault,
        "differing_columns": differing(trace.sought, trace.source, store),
        "dead_letters": [dict(letter) for letter in store.letters],
    }


def _hops(trace: Trace, passage: Passage) -> list[_Hop]:
    change = passage.change
    committed = time_of(change.committed_us) if change.committed_us and change.op != "r" else None
    read = None if passage.read_us is None else time_of(passage.read_us)
    written = None if passage.kafka_ms is None else time_of(passage.kafka_ms * 1000)
    hops = [
        _Hop("source", "committed" if committed else "snapshot", committed),
        _Hop("debezium", "read", read),
        _Hop("kafka", "written", written),
    ]
    for store in trace.stores:
        if not store.fault and store.kept:
            applied = store.applied.get(change.xid) if change.xid is not None else None
            hops.append(_Hop(store.store, store.fates.get(passage.place, "waiting"), applied))
    return hops


def _delays(hops: Sequence[_Hop]) -> list[float | None]:
    """Milliseconds since the last hop before whose time is known; both stores take a record from Kafka."""
    delays: list[float | None] = []
    before: datetime | None = None
    for hop in hops:
        delays.append(None if hop.at is None or before is None else _ms(hop.at - before))
        if hop.at is not None and hop.name in ("source", "debezium", "kafka"):
            before = hop.at
    return delays


def _ms(delay: timedelta) -> float:
    ms = delay / timedelta(milliseconds=1)
    return 0.0 if -1 < ms < 0 else round(ms, 1)  # Kafka counts whole milliseconds


def screen(trace: Trace) -> RenderableType:
    """Some lines per hop, and the verdict beneath."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column()
    shown.add_row("row", Text(trace.sought.shown))
    shown.add_row("source", _source_line(trace.source))
    shown.add_row("kafka", _kafka_line(trace.passages))
    for passage in trace.passages.found:
        shown.add_row("", _passage_lines(trace, passage))
    for store in trace.stores:
        shown.add_row(store.store, _store_lines(trace, store))
    for place, each in enumerate(trace.touched):
        shown.add_row("" if place else "touches", _touched_line(each))
    said = Text(trace.verdict.sentence, style=_STYLES[trace.verdict.state])
    return Group(shown, Text(""), said)


def _source_line(source: SourceRow) -> str:
    if source.fault:
        return source.fault
    at = f"WAL ends at {lsn_text(source.lsn)}"
    if not source.present:
        return f"not there; {at}"
    if source.committed_at is not None:
        return f"there, committed {_short(source.committed_at)} by transaction {source.xmin}; {at}"
    when = "" if source.commit_times else " (when: track_commit_timestamp is off)"
    return f"there, written by transaction {source.xmin}{when}; {at}"


def _kafka_line(passages: Passages) -> str:
    if passages.fault:
        return passages.fault
    found = f"{len(passages.found)} found" if passages.found else "none found"
    return f"{found}, latest last, in {passages.scanned} records read{'' if passages.whole else '; --scan reads more'}"


def _passage_lines(trace: Trace, passage: Passage) -> RenderableType:
    change = passage.change
    shown = Table.grid(padding=(0, 2))
    shown.add_column(style="cyan", no_wrap=True)
    xid = "" if change.xid is None else f"  transaction {change.xid}"
    shown.add_row(OPERATIONS[change.op], f"{passage.place}  {lsn_text(change.lsn)}{xid}")
    shown.add_row("", _way(trace, passage))
    if change.poison:
        shown.add_row("", Text(change.poison, style="yellow"))
    return shown


def _way(trace: Trace, passage: Passage) -> str:
    hops = _hops(trace, passage)
    said: list[str] = []
    for hop, delay in zip(hops, _delays(hops), strict=True):
        if hop.name == "source":
            said.append(f"committed {_short(hop.at)}" if hop.at else "a snapshot's row")
        elif delay is not None:
            said.append(f"{hop.name} {delay:+g} ms" + (" (clocks differ)" if delay < 0 else ""))
        elif hop.name in ("debezium", "kafka"):
            said.append(f"{hop.name} {_short(hop.at) if hop.at else '?'}")
        else:
            said.append(f"{hop.name} {hop.state}")
    return " → ".join(said)


def _store_lines(trace: Trace, store: StoreRow) -> RenderableType:
    if store.fault:
        return store.fault
    stands = (
        f"stands at {lsn_text(store.end_lsn)}, {_short(store.committed_at) if store.committed_at else 'no time yet'}"
    )
    if not store.kept:
        return f"keeps nothing of this table; {stands}"
    columns = differing(trace.sought, trace.source, store)
    row = "there" if store.present else "not there"
    if store.present and store.row is not None and trace.source.present:
        row += f", other values in {', '.join(columns)}" if columns else ", as the source has it"
    past = "" if trace.source.fault else ", past the source" if store.holds(trace.source.lsn) else ", behind the source"
    lines = [Text(f"{row}; {stands}{past}")]
    lines += [Text(f"parked: {letter['id']}: {letter['reason']}", style="yellow") for letter in store.letters]
    return Text("\n").join(lines)


def _touched_line(each: Touched) -> Text:
    if each.fault:
        return Text(f"{each.store} {each.model}: could not be asked ({each.fault})", style="yellow")
    keys = " ".join("/".join(map(str, key)) for key in each.first)
    more = f" … {each.count} rows" if each.count > len(each.first) else ""
    return Text(f"{each.store} {each.model} ({', '.join(each.key)}): {keys or 'no row'}{more}", style="dim")


def _time(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)


def _short(at: datetime) -> str:
    return rfc3339(at)[:-4] + "Z"  # milliseconds

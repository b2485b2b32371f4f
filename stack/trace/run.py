"""``readside trace``: follow one row through every hop, and say where it is stuck."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from config.settings import Settings
from stack import terminal
from stack.captured import captured, named
from stack.terminal import Output, data, talk
from stack.trace import log, source, stores, touched
from stack.trace.shown import Trace, as_json, screen
from stack.trace.sought import Sought, sought
from stack.trace.stores import StoreRow
from stack.trace.verdict import differing, verdict

_EXIT = {"ok": 0, "degraded": 1}
_READINGS = 5  # of a row that changes while it is looked at


def run(
    settings: Settings,
    table: str,
    key: str | None,
    pairs: Sequence[str],
    *,
    latest: int,
    most: int,
    wait_s: float,
    output: Output | None,
) -> int:
    """Trace it and print what was seen. Exit code 0 it arrived, 1 it is stuck or nowhere, 2 a hop does not answer."""
    row = sought(named(captured(settings), table), key, pairs)
    with talk.status("looking at the source …") as status:
        trace = follow(settings, row, latest=latest, most=most, wait_s=wait_s, say=status.update)
    if terminal.chosen(output) == "json":
        terminal.print_json(as_json(trace))
    else:
        data.print(screen(trace))
    return _EXIT.get(trace.verdict.state, 2)


def follow(
    settings: Settings, row: Sought, *, latest: int, most: int, wait_s: float, say: log.Say = lambda _: None
) -> Trace:
    """Look at every hop, in the order of the data's way; again where the row changed meanwhile."""
    at_source = source.look(settings, row)
    row = row.written(at_source.key) if at_source.key else row
    say("reading Kafka …")
    passages = log.look(settings, row, latest=latest, most=most, say=say)
    if not row.table.key and passages.found:
        row = row.named_by(passages.found[-1].change.key)
    say("looking at the stores …")
    with ThreadPoolExecutor(3) as pool:
        touching = pool.submit(touched.look, settings, row)

        def at_stores(past: int) -> tuple[StoreRow, ...]:
            looks = [
                pool.submit(look, settings, row, passages.found, past=past, wait_s=wait_s)
                for look in (stores.serving, stores.analytics)
            ]
            return tuple(each.result() for each in looks)

        seen = at_stores(at_source.lsn)
        for _ in range(_READINGS):
            if not any(differing(row, at_source, store) for store in seen):
                break
            before, at_source = at_source, source.look(settings, row)
            if at_source.row == before.row:
                break  # it did not change while it was looked at: they are different
            seen = at_stores(at_source.lsn)
    found = verdict(row, at_source, passages, seen)
    return Trace(sought=row, source=at_source, passages=passages, stores=seen, touched=touching.result(), verdict=found)

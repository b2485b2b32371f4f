"""``readside doctor``: what stands in the way, from the source to the stores, each with its fix. Changes nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import psycopg
from rich.console import RenderableType
from rich.text import Text

from cdc import fidelity
from cdc.catalog import Table, read_tables
from cdc.errors import ReadsideError
from config.settings import Settings
from stack import doctor_kafka, doctor_source, doctor_stores, terminal
from stack.finding import Finding, Part
from stack.remedy import remedy
from stack.status import look
from stack.terminal import Output, data, talk

_PARTS: tuple[Part, ...] = ("source", "kafka", "connect", "serving", "analytics", "writer", "queries")
_STYLES = {"note": "cyan", "degraded": "yellow", "down": "red"}
_EXIT = {"ok": 0, "degraded": 1, "down": 2}
#: Hops and components of the pipeline's health, by the part that a reader would look at; the source is looked at closely.
_OF_HEALTH: dict[str, Part] = {
    "transport": "connect",
    "serving": "serving",
    "projector-serving": "serving",
    "analytics": "analytics",
    "projector-analytics": "analytics",
    "writer": "writer",
    "queries": "queries",
}


def run(settings: Settings, *, output: Output | None) -> int:
    """Examine everything and print what was found. Exit code 0 nothing, 1 degraded, 2 down."""
    with talk.status("looking at the source, Kafka, Connect and the stores …"):
        found = examine(settings)
    if terminal.chosen(output) == "json":
        terminal.print_json({"state": state_of(found), "findings": [asdict(each) for each in found]})
    else:
        data.print(screen(found))
    return _EXIT[state_of(found)]


def examine(settings: Settings) -> list[Finding]:
    """Every finding, in the order of the data's way. A component that is down is a finding; nothing is raised."""
    tables = _tables(settings)
    looks: Sequence[Callable[[], list[Finding]]] = (
        lambda: [*doctor_source.source(settings), *carried(tables)],
        lambda: doctor_kafka.kafka(settings, tables),
        lambda: doctor_kafka.connect(settings, tables),
        lambda: doctor_stores.serving(settings),
        lambda: doctor_stores.analytics(settings),
    )
    with ThreadPoolExecutor(len(looks)) as pool:
        found = [finding for done in [pool.submit(each) for each in looks] for finding in done.result()]
    # What the pipeline's health shows as well is left to the closer look.
    seen = {finding.part for finding in found if finding.severity != "note"}
    found += [finding for finding in _health(settings) if finding.part not in seen]
    return sorted(found, key=lambda finding: _PARTS.index(finding.part))


def carried(tables: Iterable[Table]) -> list[Finding]:
    """Columns and tables whose values cannot be carried exactly (cdc/fidelity.py)."""
    return [
        Finding(part="source", severity="down", what=f"{_where(each)} cannot be carried: {each.reason}", fix=each.fix)
        for each in fidelity.findings(list(tables))
    ]


def _where(finding: fidelity.Finding) -> str:
    return finding.table if finding.column is None else f"{finding.table}.{finding.column}"


def state_of(found: Iterable[Finding]) -> str:
    """The state of the whole: ok, degraded or down; a note makes nothing worse."""
    severities = {finding.severity for finding in found}
    return "down" if "down" in severities else "degraded" if "degraded" in severities else "ok"


def screen(found: Sequence[Finding]) -> RenderableType:
    """A line per part, and beneath each what was found there with its fix, whose lines are left whole for pasting."""
    lines: list[Text] = []
    for part in _PARTS:
        here = [finding for finding in found if finding.part == part]
        state = state_of(here)
        lines.append(Text.assemble((f"{part:<11}", "bold"), (state, _STYLES.get(state, "green"))))
        for finding in here:
            first, *rest = textwrap.wrap(finding.what, width=min(data.width, 100) - 12)
            lines.append(Text.assemble("  ", (f"{finding.severity:<9}", _STYLES[finding.severity]), first))
            lines += [Text(f"{'':<11}{line}") for line in rest]
            lines += [Text(f"{'':<11}{line}", style="bold") for line in finding.fix.splitlines()]
    return Text("\n").join(lines)


def _tables(settings: Settings) -> tuple[Table, ...]:
    """The captured tables as far as they can be read: what is wrong with them is told by the source's own look."""
    if settings.source_dsn is None:
        return ()
    try:
        return read_tables(settings.source_dsn.get_secret_value(), settings.publication, settings.tables)
    except (ReadsideError, psycopg.Error):
        return ()


def _health(settings: Settings) -> list[Finding]:
    health = look(settings)
    found = {
        (_OF_HEALTH[each.name], each.why): Finding(
            part=_OF_HEALTH[each.name],
            severity="down" if each.state == "down" else "degraded",
            what=each.why,
            fix=remedy(each, settings.data_dir),
        )
        for each in (*health.components, *health.hops)
        if each.name in _OF_HEALTH and each.state in ("degraded", "down")
    }
    return list(found.values())

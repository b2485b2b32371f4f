"""What a row of the dashboard hides: a component's log, a hop's figures and partitions, what a read model is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import httpx
import psycopg
from kafka.errors import KafkaError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cdc.errors import ReadsideError
from config.settings import Settings
from projectors import registry
from projectors.declaration import DeclarationError
from queries import probes, topics
from queries.pipeline import Component, Health, Hop
from queries.probes import Offsets, StoreView
from stack import figures, terminal
from stack.dash.rows import Row
from stack.models import rebuilding, rows_of
from stack.process import tail

_LOG_LINES = 40
_MOST_PARTITIONS = 200


@dataclass(frozen=True, slots=True)
class Details:
    """Of one row: its heading, the command to go on with, and what there is to see."""

    heading: str
    command: str
    body: RenderableType


def details(settings: Settings, health: Health, row: Row, command: str) -> Details:
    """Look closer at a row. Takes a second at most; what does not answer is said to."""
    match row.kind:
        case "component":
            body = _component(settings, next(each for each in health.components if each.name == row.name))
        case "hop":
            body = _hop(settings, next(each for each in health.hops if each.name == row.name))
        case "model":
            body = _model(settings, health, row.name)
    return Details(f"{row.kind} {row.name}", command, body)


def _component(settings: Settings, component: Component) -> RenderableType:
    log = settings.data_dir / "logs" / f"{component.name}.log"
    try:
        lines = tail(log).splitlines()[-_LOG_LINES:]
    except OSError:
        lines = [f"{log} cannot be read: another stack runs it, or none"]
    facts = _facts(
        ("state", component.state),
        ("why", component.why),
        ("pid", component.pid),
        ("started again", component.restarts),
        ("log", log),
    )
    return Group(facts, Text(""), Text("\n".join(lines), style="dim"))


def _hop(settings: Settings, hop: Hop) -> RenderableType:
    facts = _facts(
        ("state", hop.state),
        ("why", hop.why),
        ("changes/s", figures.rate(hop.rate)),
        ("behind, changes", hop.lag_changes),
        ("behind, time", None if hop.lag_seconds is None else figures.duration(hop.lag_seconds)),
        *((figures.label(name), figures.figure(name, value)) for name, value in hop.figures.items()),
    )
    if hop.name not in ("serving", "analytics"):
        return facts
    return Group(facts, Text(""), _partitions(settings, hop.name))


def _partitions(settings: Settings, store: str) -> RenderableType:
    """What a store has not read yet, partition by partition; the furthest behind first."""
    try:
        ends, _ = topics.log_of(settings.kafka, settings.topic_prefix).ends()
        position = _view(settings, store).position
    except (psycopg.Error, httpx.HTTPError, KafkaError, OSError, TimeoutError) as exc:
        return Text(f"its partitions cannot be told now: {type(exc).__name__}", style="yellow")
    if position is None:
        return Text("it has read nothing yet")
    read = {topic: of for topic, of in ends.items() if topic in position.topics or not position.topics}
    behind = sorted(_behind(read, position.frontier), key=lambda row: (-row[3], row[0]))
    return terminal.table(
        ("partition", "read up to", "ends at", "behind"),
        [(name, at, end, lag) for name, at, end, lag in behind[:_MOST_PARTITIONS]],
    )


def _view(settings: Settings, store: str) -> StoreView:
    if store == "analytics":
        return probes.analytics(settings)
    assert settings.queries_dsn is not None  # the hop is known, so somebody asked
    return probes.serving(settings.queries_dsn.get_secret_value())


def _behind(ends: Offsets, frontier: Offsets) -> Iterable[tuple[str, int, int, int]]:
    for topic, partitions in ends.items():
        for partition, end in partitions.items():
            at = frontier.get(topic, {}).get(partition, 0)
            yield f"{topic}[{partition}]", at, end, max(0, end - at)


def _model(settings: Settings, health: Health, name: str) -> RenderableType:
    store, _, model = name.partition("/")
    try:
        declared = rows_of(registry.load(settings.models), health)
    except (ReadsideError, DeclarationError) as exc:
        return Text(str(exc), style="yellow")
    row = next((each for each in declared if (each["store"], each["name"]) == (store, model)), None)
    if row is None:
        return Text("the store has it, and it is not declared any more")
    freshness = row["freshness_seconds"]
    return _facts(
        ("what", row["comment"]),
        ("key", _listed(row["key"])),
        ("source tables", _listed(row["tables"])),
        ("through", _listed(row["through"])),
        ("rows", None if row["rows"] is None else f"{row['rows']:,}"),
        ("version", row["version"]),
        ("as of", row["as_of"]),
        ("fresh", None if freshness is None else figures.duration(freshness)),
        ("incomplete", row["incomplete"]),
        ("rebuild", rebuilding(row.get("rebuild"))),
    )


def made_of(settings: Settings) -> dict[str, str]:
    """The source tables of each declared read model, by STORE/NAME; nothing where the declarations cannot be loaded."""
    try:
        declarations = registry.load(settings.models)
    except (ReadsideError, DeclarationError):
        return {}
    return {
        f"{model.store}/{model.name}": _listed(sorted(declarations.tables_beneath(model)))
        for model in declarations.read_models
    }


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _facts(*facts: tuple[str, object]) -> Table:
    """Names and values; what is not known or empty is left out."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column(style="bold", no_wrap=True)
    for name, value in facts:
        if value not in (None, ""):
            shown.add_row(name, Text(str(value)))
    return shown

"""``readside status``: one screen, one line per component and per hop, from the same look as ``GET /health``."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from config.settings import Settings
from queries.health import collect
from queries.pipeline import Health, Hop
from stack import terminal
from stack.figures import figure
from stack.remedy import ailments
from stack.terminal import Output, data, talk

_INTERVAL_S = 0.5
_EXIT = {"ok": 0, "degraded": 1}
STYLES = {"ok": "green", "degraded": "yellow", "down": "red"}


def status(settings: Settings, *, output: Output | None, watch: bool, wait_s: float | None) -> int:
    """Print the state of everything, once or again and again; the exit code is the state's."""
    if watch:
        return _watch(settings)
    health = look(settings) if wait_s is None else _wait(settings, wait_s)
    if terminal.chosen(output) == "json":
        terminal.print_json(health.to_json())
    else:
        data.print(screen(health, settings))
    return exit_code(health)


def look(settings: Settings) -> Health:
    """One look; a second one if the first found fault, as a process's first look also loads all the clients."""
    health = collect(settings)
    return health if health.state == "ok" else collect(settings)


def _wait(settings: Settings, wait_s: float) -> Health:
    deadline = time.monotonic() + wait_s
    while (health := collect(settings)).state != "ok" and time.monotonic() < deadline:
        time.sleep(min(_INTERVAL_S, max(0.0, deadline - time.monotonic())))
        settings = type(settings)(data_dir=settings.data_dir)  # a stack that is starting chooses its ports
    if health.state != "ok":
        talk.print(f"not everything is ok after {wait_s:g} s; the logs are in {settings.data_dir / 'logs'}")
    return health


def _watch(settings: Settings) -> int:
    health = collect(settings)
    with Live(_watched(health, settings), console=data, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(_INTERVAL_S)
                settings = type(settings)(data_dir=settings.data_dir)
                health = collect(settings)
                live.update(_watched(health, settings), refresh=True)
        except KeyboardInterrupt:
            return exit_code(health)


def _watched(health: Health, settings: Settings) -> RenderableType:
    at = datetime.now(UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    header = f"{at} UTC, looked in {health.took_ms} ms, every {_INTERVAL_S:g} s; Ctrl-C ends it"
    return Group(Text(header, style="dim"), screen(health, settings))


def exit_code(health: Health) -> int:
    """0 ok, 1 degraded, 2 down."""
    return _EXIT.get(health.state, 2)


def screen(health: Health, settings: Settings) -> RenderableType:
    """Everything as tables, and beneath them what is wrong and what to do."""
    components = terminal.table(
        ("component", "state", "pid", "restarts"),
        [(each.name, _state(each.state), each.pid, each.restarts) for each in health.components],
    )
    hops = terminal.table(
        ("hop", "state", "changes/s", "lag, changes", "lag, s", ""),
        [
            (hop.name, _state(hop.state), _figure(hop.rate), hop.lag_changes, _figure(hop.lag_seconds), told(hop))
            for hop in health.hops
        ],
    )
    models = terminal.table(
        ("read model", "store", "rows", "as of", "verified", ""),
        [
            (model.name, model.store, model.rows, model.as_of, model.verified, model.incomplete)
            for model in health.models
        ],
    )
    overall = Text.from_markup(f"{_state(health.state)}, {health.dead_letters} dead letters")
    parts = [overall, "", components, "", hops, *(["", models] if health.models else [])]
    return Group(*parts, *reasons(health, settings))


def told(hop: Hop) -> Text:
    """What a hop alone has to tell, in a few words."""
    figures = hop.figures
    match hop.name:
        case "capture" if figures:
            words = [f"slot keeps {figure('retained_bytes', figures.get('retained_bytes'))} of WAL"]
            if figures.get("safe_bytes") is not None:
                words.append(f"{figure('safe_bytes', figures.get('safe_bytes'))} more and it is lost")
            if figures.get("time_to_full_s") is not None:
                words.append(f"in {figure('time_to_full_s', figures['time_to_full_s'])}")
        case "transport" if figures:
            words = [f"connector {figures.get('connector')}", f"task {figures.get('task')}"]
        case _:
            words = [f"at {figures['end_lsn']}"] if figures.get("end_lsn") else []
    return Text(", ".join(words))


def reasons(health: Health, settings: Settings) -> list[Text]:
    """What is wrong, each with the command to type; an empty line first."""
    lines: list[Text] = []
    for ailment in ailments(health, settings.data_dir):
        lines += [Text.assemble((names, "bold"), f": {why}") for names, why in ailment.reasons]
        lines.append(Text.assemble("  $ ", (ailment.command, "cyan")))
    return [Text(""), *lines] if lines else []


def _state(state: str) -> str:
    style = STYLES.get(state)
    return f"[{style}]{state}[/]" if style else state


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"

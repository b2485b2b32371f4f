"""``readside status``: one screen, one line per component and per hop, from the same look as ``GET /health``."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from config.settings import Settings
from queries.health import collect
from queries.pipeline import Health
from stack import terminal
from stack.terminal import Output, data, talk

_INTERVAL_S = 0.5
_EXIT = {"ok": 0, "degraded": 1}
_STYLES = {"ok": "green", "degraded": "yellow", "down": "red"}


def status(settings: Settings, *, output: Output | None, watch: bool, wait_s: float | None) -> int:
    """Print the state of everything, once or again and again; the exit code is the state's."""
    if watch:
        return _watch(settings)
    health = look(settings) if wait_s is None else _wait(settings, wait_s)
    if terminal.chosen(output) == "json":
        terminal.print_json(health.to_json())
    else:
        data.print(screen(health))
    return _EXIT.get(health.state, 2)


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
    with Live(screen(health), console=data, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(_INTERVAL_S)
                health = collect(settings)
                live.update(screen(health), refresh=True)
        except KeyboardInterrupt:
            return _EXIT.get(health.state, 2)


def screen(health: Health) -> RenderableType:
    """Everything as tables, and beneath them what is wrong and what to do."""
    components = terminal.table(
        ("component", "state", "pid", "restarts"),
        [(each.name, _state(each.state), each.pid, each.restarts) for each in health.components],
    )
    hops = terminal.table(
        ("hop", "state", "changes/s", "lag, changes", "lag, s"),
        [
            (hop.name, _state(hop.state), _figure(hop.rate), hop.lag_changes, _figure(hop.lag_seconds))
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
    reasons = [Text(f"{each.name}: {each.why}") for each in (*health.components, *health.hops) if each.why]
    overall = Text.from_markup(f"{_state(health.state)}, {health.dead_letters} dead letters")
    return Group(overall, "", components, "", hops, "", models, *([Text("")] if reasons else []), *reasons)


def _state(state: str) -> str:
    style = _STYLES.get(state)
    return f"[{style}]{state}[/]" if style else state


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"

"""The rows of the dashboard's tables: pure functions of a look, what was seen before, and how wide the terminal is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

from rich.text import Text

from queries.pipeline import Component, Health, Hop, Model
from stack import figures
from stack.dash.history import History, sparkline
from stack.dash.signs import mark
from stack.models import rebuilding
from stack.remedy import remedy

T = TypeVar("T", Component, Hop, Model)
Kind = Literal["component", "hop", "model"]

#: What shows more of a hop that is well.
_CLOSER = {
    "capture": "readside doctor",
    "transport": "readside tail",
    "serving": "readside verify",
    "analytics": "readside sql",
}
_LEAST_RATE, _LEAST_LAG_S = 5.0, 2.0  # what fills a sparkline when all is small


@dataclass(frozen=True, slots=True)
class Row:
    """One row: what it is about, and its cells."""

    kind: Kind
    name: str
    cells: tuple[Text, ...]

    @property
    def id(self) -> str:
        """Unique among all rows."""
        return f"{self.kind}:{self.name}"


def components(health: Health, wanted: str) -> list[Row]:
    """Every process: state, pid, how often it was started again."""
    return [
        Row(
            "component",
            each.name,
            (mark(each.state), Text(each.name), _right(each.pid, 7), Text(_again(each.restarts), style="yellow")),
        )
        for each in _matching(health.components, wanted)
    ]


def hops(health: Health, history: History, wanted: str, *, spark: int) -> list[Row]:
    """Every hop: state, rate, lag in changes and seconds, with sparklines ``spark`` wide."""
    return [Row("hop", hop.name, _hop(hop, history, spark)) for hop in _matching(health.hops, wanted)]


def _hop(hop: Hop, history: History, spark: int) -> tuple[Text, ...]:
    rates = sparkline(history.rates(hop.name), spark, least_top=_LEAST_RATE)
    lags = sparkline(history.lags(hop.name), spark, least_top=_LEAST_LAG_S)
    # Of the slot it is known how much WAL lies behind it, not how many changes.
    kept = hop.figures.get("retained_bytes")
    behind = hop.lag_changes if kept is None else figures.figure("retained_bytes", kept)
    lag = None if hop.lag_seconds is None else figures.duration(hop.lag_seconds)
    return (
        mark(hop.state),
        Text(hop.name),
        _right(figures.rate(hop.rate), 5),
        Text(rates, style="cyan"),
        _right(behind, 8),
        _right(lag, 6),
        Text(lags, style="blue"),
    )


def models(health: Health, made_of: Mapping[str, str], wanted: str, *, now: datetime) -> list[Row]:
    """Every read model: store, rows, version, how fresh, and what is wrong with it or else the tables it is made of.

    ``made_of``: the tables by STORE/NAME, of the declared ones, which are shown as unknown where their store is silent.
    """
    living = {f"{model.store}/{model.name}": model for model in health.models}
    names = [
        name for name in sorted(living.keys() | made_of.keys(), key=_serving_first) if wanted.lower() in name.lower()
    ]
    return [Row("model", name, _model(name, living.get(name), made_of.get(name, ""), now)) for name in names]


def _model(name: str, model: Model | None, made_of: str, now: datetime) -> tuple[Text, ...]:
    store, _, alone = name.partition("/")
    if model is None:
        return (mark("unknown"), Text(alone), Text(store, style="dim"), *(_right(None, width) for width in (9, 4, 6)),
                Text(made_of, style="dim"))  # fmt: skip
    age_s = None if model.as_of is None else (now - datetime.fromisoformat(model.as_of)).total_seconds()
    wrong = model.incomplete or rebuilding(getattr(model, "rebuild", None))
    return (
        mark("degraded" if model.incomplete else "ok"),
        Text(alone),
        Text(store, style="dim"),
        _right(f"{model.rows:,}", 9),
        _right(None if model.version is None else f"v{model.version}", 4),
        _right(None if age_s is None else figures.duration(max(0.0, age_s)), 6),
        Text(wrong, style="yellow") if wrong else Text(made_of, style="dim"),
    )


def _serving_first(name: str) -> tuple[bool, str]:
    return not name.startswith("serving/"), name


def command(row: Row | None, health: Health, data_dir: Path) -> str:
    """What to type to know more of a row, or to mend it."""
    if row is None:
        return "readside status"
    if row.kind == "model":
        return f"readside verify {row.name.partition('/')[2]}"
    parts = health.components if row.kind == "component" else health.hops
    part = next((each for each in parts if each.name == row.name), None)
    if part is not None and part.why:
        return remedy(part, data_dir)
    return f"tail -f {data_dir / 'logs' / row.name}.log" if row.kind == "component" else _CLOSER[row.name]


def clock(now: datetime) -> str:
    """The time as the header shows it."""
    return now.astimezone(UTC).strftime("%H:%M:%S UTC")


def _matching(parts: Sequence[T], wanted: str) -> list[T]:
    return [each for each in parts if wanted.lower() in f"{each.name} {getattr(each, 'store', '')}".lower()]


def _again(restarts: int | None) -> str:
    return f"↻{restarts}" if restarts else ""


def _right(value: object, width: int) -> Text:
    return Text(("-" if value is None else str(value)).rjust(width), style="dim" if value is None else "")

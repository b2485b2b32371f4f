"""How a state is drawn: a shape beside its colour, so that it is told apart without colours too."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from queries.pipeline import State

MARKS: Mapping[State, str] = {"ok": "●", "unknown": "○", "degraded": "▲", "down": "✖"}
COLOURS: Mapping[State, str] = {"ok": "green", "unknown": "dim", "degraded": "yellow", "down": "red"}


def mark(state: State) -> Text:
    """A state as one sign."""
    return Text(MARKS[state], style=COLOURS[state])

"""The pipeline as a picture of two lines, for terminals that are wide enough: what is late or dead shows where it is."""

from __future__ import annotations

from rich.text import Text

from queries.pipeline import Component, Health, Hop
from stack import figures
from stack.dash.signs import COLOURS, mark

WIDTH = 124  # columns that it takes at most


def picture(health: Health) -> Text:
    """From the writer to the queries; on each arrow what the hop carries, or how late it is."""
    parts = {each.name: _part(each) for each in health.components}
    arrows = {each.name: _arrow(each) for each in health.hops}
    trunk = Text.assemble(
        *(parts["writer"], " ──▶ ", parts["postgres"], arrows["capture"], parts["connect"], arrows["transport"]),
        *(parts["kafka"], " ─"),
    )
    serving = Text.assemble(arrows["serving"], parts["projector-serving"])
    analytics = Text.assemble(arrows["analytics"], parts["projector-analytics"])
    width = max(serving.cell_len, analytics.cell_len)
    return Text.assemble(
        *(trunk, "┬", serving, " ", "─" * (width - serving.cell_len), "─┬─▶ ", parts["queries"], "\n"),
        *(" " * trunk.cell_len, "└", analytics, " ", "─" * (width - analytics.cell_len), "─┘"),
    )


def _part(part: Component) -> Text:
    return Text.assemble(mark(part.state), " ", (part.name, "bold"))


def _arrow(hop: Hop) -> Text:
    carried = "?"
    if hop.name == "capture" and (kept := hop.figures.get("retained_bytes")) is not None:
        carried = f"WAL {figures.figure('retained_bytes', kept)}"
    elif hop.name == "transport" and hop.rate is not None:
        carried = f"{figures.rate(hop.rate)}/s"
    elif hop.lag_seconds is not None:
        carried = figures.duration(hop.lag_seconds)
    return Text(f" ── {carried} ─▶ ", style="" if hop.state == "ok" else COLOURS[hop.state])

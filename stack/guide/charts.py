"""The charts of docs/analytics.md, drawn from the answers they stand behind; needs the dependency group ``docs``.

The same rows give the same bytes. The ground is transparent, and every colour can be read on white and on near-black.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stack.guide.answers import digest
from stack.sql.asking import Rows

_GREY, _BLUE = "#7a7a7a", "#3d87d8"
_LINES = ("#9a9a9a", "#6f8fb0", _BLUE, "#2f9e8f", "#d9731a", "#b8568f")
_STYLE = {
    "svg.hashsalt": "readside",
    "svg.fonttype": "path",  # the reader need not have the font
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 10,
    "axes.edgecolor": _GREY,
    "axes.labelcolor": _GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "text.color": _GREY,
    "legend.frameon": False,
    "savefig.transparent": True,
}


def draw(name: str, rows: Rows, target: Path) -> None:
    """Draw the chart of that name as the picture ``target``, .svg or .png. Raises KeyError when there is none."""
    with mpl.rc_context(_STYLE):  # pyright: ignore[reportArgumentType]
        figure = Figure(figsize=(7.6, 3.2), layout="constrained")
        _CHARTS[name](figure.subplots(), rows)
        metadata = {"Creator": None, "Date": None, "Description": digest(rows)} if target.suffix == ".svg" else None
        figure.savefig(target, metadata=metadata, dpi=110)


def _column(rows: Rows, name: str) -> list[Any]:
    place = rows.columns.index(name)
    return [row[place] for row in rows.rows]


def _numbers(rows: Rows, name: str) -> list[float]:
    return [float("nan") if value is None else float(value) for value in _column(rows, name)]


def _revenue_by_day(axes: Axes, rows: Rows) -> None:
    days = [date.fromisoformat(day).toordinal() for day in _column(rows, "day")]
    revenue = dict(zip(days, _numbers(rows, "revenue"), strict=True))
    first, last = min(days), max(days)
    every = range(first, last + 1)  # a day without an order has no row
    # One outline: as many bars would be a file twice as large.
    axes.stairs([revenue.get(day, 0) for day in every], [day - 0.5 for day in (*every, last + 1)], fill=True,
                color=_GREY, alpha=0.55, label="of a day")  # fmt: skip
    axes.plot(days, _numbers(rows, "average_of_7_days"), color=_BLUE, linewidth=2, label="average of 7 days")
    months = [day for day in every if date.fromordinal(day).day == 1]
    axes.set_xticks(months, [f"{date.fromordinal(day):%Y-%m}" for day in months], horizontalalignment="left")
    axes.set_ylabel("revenue, USD")
    axes.margins(x=0.01)
    axes.legend(loc="upper left")


def _orders_by_hour(axes: Axes, rows: Rows) -> None:
    axes.bar(_column(rows, "hour_in_berlin"), _numbers(rows, "orders"), color=_BLUE)
    axes.set_xticks(range(0, 24, 2))
    axes.set_xlabel("hour of the day in Berlin")
    axes.set_ylabel("orders")
    axes.margins(x=0.01)


def _cohorts(axes: Axes, rows: Rows) -> None:
    months = [name for name in rows.columns if name.startswith("after_")]
    for line, shade in zip(rows.rows, _LINES, strict=False):
        shares = [line[rows.columns.index(name)] for name in months]
        if any(share is not None for share in shares):
            known = [float("nan") if share is None else float(share) for share in shares]
            label = str(line[rows.columns.index("started_in")])
            axes.plot(range(1, len(known) + 1), known, color=shade, linewidth=2, marker="o", markersize=5, label=label)
    axes.set_xticks(range(1, len(months) + 1))
    axes.set_xlabel("months after the first order")
    axes.set_ylabel("ordered again, %")
    axes.set_ylim(bottom=0)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), title="first month")


_CHARTS: Mapping[str, Callable[[Axes, Rows], None]] = {
    "revenue-by-day": _revenue_by_day,
    "orders-by-hour": _orders_by_hour,
    "cohorts": _cohorts,
}

"""Rows as a table for a terminal, and as one for a Markdown document.

A number stands right and whole: it is never shortened, nor is a date or a time. Text is shortened to what fits, then
columns are left out from the right; what was done is said, with the way to see all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from stack.sql.asking import Rows
from stack.sql.visible import cell, visible

_NUMERIC = re.compile(r"U?(?:TINY|SMALL|BIG|HUGE)INT|U?INTEGER|BIGNUM|FLOAT|DOUBLE|DECIMAL(?:\(\d+,\d+\))?")
_WHOLE = ("DATE", "TIME", "INTERVAL", "UUID", "BOOLEAN")  # beginnings of types that are useless when shortened
_GAP = "  "
_LISTED = 4
_NARROWEST = 12  # cells that a shortened column keeps


@dataclass(slots=True)
class _Column:
    name: str
    cells: list[str]
    nulls: list[bool]
    numeric: bool
    whole: bool
    width: int = field(init=False)

    def __post_init__(self) -> None:
        self.width = max(cell_len(self.name), max(map(cell_len, self.cells), default=0))

    @property
    def narrowest(self) -> int:
        return self.width if self.whole else min(self.width, max(_NARROWEST, cell_len(self.name)))


@dataclass(frozen=True, slots=True)
class Table:
    """Lines for a terminal, and what was done to make them fit; None when everything is shown."""

    lines: list[Text]
    cut: str | None


def table(answer: Rows, *, width: int | None, most_rows: int | None = None) -> Table:
    """Rows as aligned columns; ``width`` in cells and ``most_rows`` bound what is shown of them, None: all of it."""
    shown = answer.rows if most_rows is None else answer.rows[:most_rows]
    columns = _columns(answer, shown)
    notes: list[str] = []
    fitting = columns
    if width is not None:
        fitting, shortened = _fit(columns, width)
        if len(fitting) < len(columns):
            left_out = _listed([column.name for column in columns[len(fitting) :]])
            notes.append(f"{len(fitting)} of {len(columns)} columns fit in {width} characters, without {left_out}")
        if shortened:
            notes.append(f"shortened: {_listed(shortened)}")
    if len(shown) < len(answer.rows):
        notes.append(f"the first {len(shown)} of {len(answer.rows)} rows")
    return Table(_lines(fitting, len(shown)), "; ".join(notes) or None)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def markdown(answer: Rows) -> str:
    """Rows as a Markdown table; a ``|`` in a value is escaped."""
    columns = _columns(answer, answer.rows)
    for column in columns:
        column.name, *column.cells = (text.replace("|", "\\|") for text in (column.name, *column.cells))
    rows = [
        [column.name for column in columns],
        ["--:" if column.numeric else "---" for column in columns],
        *zip(*(column.cells for column in columns), strict=True),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _columns(answer: Rows, rows: Sequence[Sequence[object]]) -> list[_Column]:
    columns: list[_Column] = []
    for place, name in enumerate(answer.columns):
        values = [row[place] for row in rows]
        kind = answer.types[place] if answer.types else None
        numeric = _all_numbers(values) if kind is None else _NUMERIC.fullmatch(kind) is not None
        whole = numeric or (kind is not None and kind.startswith(_WHOLE) and not kind.endswith("]"))
        columns.append(
            _Column(
                visible(name), [cell(value) for value in values], [value is None for value in values], numeric, whole
            )
        )
    return columns


def _all_numbers(values: Sequence[object]) -> bool:
    """What can be known of a column whose type the server did not say."""
    said = [value for value in values if value is not None]
    return bool(said) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in said)


def _fit(columns: list[_Column], width: int) -> tuple[list[_Column], list[str]]:
    """Columns that fit, from the left, and the names of those that are shortened for it; one at least is shown."""
    count = 0
    taken = -len(_GAP)
    for column in columns:
        taken += len(_GAP) + column.narrowest
        if taken > width and count:
            break
        count += 1
    fitting = columns[:count]
    before = [column.width for column in fitting]
    excess = sum(before) + len(_GAP) * (count - 1) - width
    while excess > 0:
        widest = max(fitting, key=lambda column: column.width - column.narrowest, default=None)
        if widest is None or widest.width == widest.narrowest:
            break
        step = min(excess, max(1, (widest.width - widest.narrowest) // 2))
        widest.width -= step
        excess -= step
    return fitting, [column.name for column, was in zip(fitting, before, strict=True) if column.width < was]


def _lines(columns: Sequence[_Column], count: int) -> list[Text]:
    head = Text(_GAP.join(_placed(column.name, column) for column in columns).rstrip(), style="bold", no_wrap=True)
    rule = Text(_GAP.join("─" * column.width for column in columns), style="dim", no_wrap=True)
    lines = [head, rule]
    for number in range(count):
        line = Text(no_wrap=True)
        for place, column in enumerate(columns):
            gap = _GAP if place else ""
            line.append(gap + _placed(column.cells[number], column), style="dim" if column.nulls[number] else "")
        line.rstrip()
        lines.append(line)
    return lines


def _placed(text: str, column: _Column) -> str:
    length = cell_len(text)
    if length > column.width:
        return set_cell_size(text, column.width - 1) + "…"
    padding = " " * (column.width - length)
    return padding + text if column.numeric else text + padding

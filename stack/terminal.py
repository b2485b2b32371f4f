"""What a command says, and where: data on standard output, talk on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

Output = Literal["table", "json"]

#: For people: progress, explanations, errors.
talk = Console(stderr=True, highlight=False, soft_wrap=True)
#: For data as a table.
data = Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def chosen(output: Output | None) -> Output:
    """The format to print data in: the asked one; otherwise a table on a terminal, JSON elsewhere."""
    return output or ("table" if sys.stdout.isatty() else "json")


def print_json(value: object) -> None:
    """Print a value as JSON, indented."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def json_text(value: object) -> str:
    """A JSON value as a document in letters that people read: not only those of ASCII."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A plain table; None is shown as -, and a Text as it is: what looks like markup in it, too."""
    shown = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        shown.add_row(*("-" if cell is None else cell if isinstance(cell, Text) else str(cell) for cell in row))
    return shown

"""What differs between two versions of read models, as ``readside rebuild`` shows it: keys and columns, no values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import psycopg

from projectors.read_model import Declarations
from projectors.serving.comparison import Comparison, compare
from stack import terminal
from stack.terminal import Output, data

Connection = psycopg.Connection[Any]


def versions_compared(
    connection: Connection, declarations: Declarations, names: Sequence[str], *, old: str = "", new: str = ""
) -> list[Comparison]:
    """One version against another, for each read model among these that has both; ``old``, ``new``: what stands behind its
    name, nothing for the one that serves."""
    there = {
        name
        for (name,) in connection.execute("select name from readside.declared where kind = 'read_model'").fetchall()
    }
    return [
        compare(connection, model.name, f"{model.name}{old}", f"{model.name}{new}", model.key)
        for model in declarations.read_models
        if model.name in names and {f"{model.name}{old}", f"{model.name}{new}"} <= there
    ]


def show(found: Sequence[Comparison], output: Output | None) -> None:
    """Print what differs as a table, and the first differing keys beneath; or all of it as JSON."""
    if terminal.chosen(output) == "json":
        terminal.print_json([asdict(each) for each in found])
        return
    rows = [
        (
            each.model,
            each.rows_old,
            each.rows_new,
            *(each.kinds[kind] if each.kinds else None for kind in ("added", "removed", "changed")),
            ", ".join(
                [f"{name} ({count})" for name, count in each.columns.items()]
                + [f"-{name}" for name in each.only_old]
                + [f"+{name}" for name in each.only_new]
            ),
        )
        for each in found
    ]
    data.print(terminal.table(("read model", "rows", "new rows", "added", "removed", "changed", "columns"), rows))
    for each in found:
        for difference in each.first:
            columns = f": {', '.join(difference.columns)}" if difference.columns else ""
            data.print(f"{each.model} {'/'.join(difference.key)} {difference.kind}{columns}", markup=False)

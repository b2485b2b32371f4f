"""A table of the dashboard's rows that keeps its cursor and its scrolling while its cells change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.widgets import DataTable

from stack.dash.rows import Row

Columns = Sequence[tuple[str, int]]  # heading, width


class PartTable(DataTable[Any]):
    """Shows ``Row``s."""

    def __init__(self, title: str, *, id: str, show_header: bool = True) -> None:
        super().__init__(
            id=id, cursor_type="row", cell_padding=0, show_header=show_header, cursor_foreground_priority="renderable"
        )
        self._title = title
        self._widths: tuple[tuple[str, int], ...] = ()
        self._rows: list[Row] = []

    @property
    def chosen(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self.cursor_row] if 0 <= self.cursor_row < len(self._rows) else None

    def show(self, columns: Columns, rows: Sequence[Row]) -> None:
        """Show these; the cursor stays on the row that it is on, wherever that is now."""
        self.border_title = f"{self._title} {len(rows)}" if self.id == "models" else self._title
        before, ids = self.chosen, [row.id for row in rows]
        if tuple(columns) != self._widths:
            self.clear(columns=True)
            for place, (heading, width) in enumerate(columns):
                self.add_column(heading, width=width, key=str(place))
            self._widths, self._rows = tuple(columns), []
        if ids != [row.id for row in self._rows]:
            self.clear()
            for row in rows:
                self.add_row(*row.cells, key=row.id)
        else:
            for row, old in zip(rows, self._rows, strict=True):
                for place, cell in enumerate(row.cells):
                    if cell != old.cells[place] or cell.style != old.cells[place].style:
                        self.update_cell(row.id, str(place), cell)
        self._rows = list(rows)
        if before is not None and before.id in ids:
            self.move_cursor(row=ids.index(before.id), animate=False)

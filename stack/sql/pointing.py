"""A caret under the place of an error, where DuckDB names the thing but not the place.

DuckDB's parser says ``LINE 1: …`` with a caret of its own. Its binder, as the store asks it, names only the column, table
or function; where that name occurs exactly once in the statement there is no doubt about the place.
"""

from __future__ import annotations

import re

from rich.cells import cell_len

from stack.sql.scanning import tokens

_NAMED = (
    re.compile(r'Referenced (?:column|table) "([^"]+)"'),
    re.compile(r"(?:Table|View|Scalar Function|Table Function|Aggregate Function|Type) with name (\S+) does not exist"),
    re.compile(r'does not have a column named "([^"]+)"'),
)
_WIDEST = 100


def pointed(detail: str, statement: str) -> str:
    """An error's words; with the statement's line and a caret below, where they have none and the place is certain."""
    if "LINE " in detail:
        return detail
    name = next((found[1].strip('"') for pattern in _NAMED if (found := pattern.search(detail))), None)
    places = [
        token.start
        for token in tokens(statement)
        if token.kind in ("word", "name") and name and token.text.strip('"').casefold() == name.casefold()
    ]
    if name is None or len(places) != 1:
        return detail
    return f"{detail}\n\n{_line(statement, places[0], len(name))}"


def _line(statement: str, place: int, length: int) -> str:
    begin = statement.rfind("\n", 0, place) + 1
    line = statement[begin:].partition("\n")[0].expandtabs(1)
    column = place - begin
    if column + length > _WIDEST:  # a line like that of a generated statement: what is around the place
        cut = column - _WIDEST // 2
        line, column = "…" + line[cut:], column - cut + 1
    line = line if len(line) <= _WIDEST else line[:_WIDEST] + "…"
    said = f"LINE {statement.count(chr(10), 0, place) + 1}: "
    return f"{said}{line}\n{' ' * (len(said) + cell_len(line[:column]))}{'^' * length}"

"""Names and texts as DuckDB's SQL has them; imports nothing, for a child process that is begun every few seconds."""

from __future__ import annotations


def quoted(name: str) -> str:
    """A name as an identifier; DuckDB's Python client has no composer for these."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal; for names and shapes only, never for rows' values."""
    return "'" + text.replace("'", "''") + "'"

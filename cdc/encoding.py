"""How each type's values arrive under connector.toml's modes: what a store must do beyond parsing the text."""

from __future__ import annotations

from typing import Literal

from cdc.catalog import Column

#: direct: JSON number, boolean, or the text PostgreSQL itself reads; json: JSON inside a string; hex: bytes as hexadecimal;
#: number: a decimal in a string, or NAN, POSITIVE_INFINITY, NEGATIVE_INFINITY.
Encoding = Literal["direct", "json", "hex", "number"]

_ENCODINGS: dict[str, Encoding] = {
    "json": "json",
    "jsonb": "json",
    "bytea": "hex",
    "numeric": "number",
    "money": "number",
}


def encoding_of(column: Column) -> Encoding:
    """The encoding in which a column's values arrive."""
    return _ENCODINGS.get(column.base_type, "direct")

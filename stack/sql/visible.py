"""Values as text that a terminal can be given: nothing in them moves its cursor, colours it or reverses its lines."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from typing import cast

NULL = "NULL"
#: Letters of several scripts are joined or kept apart by these two.
_JOINERS = "\u200c\u200d"
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str, *, keep: str = "") -> str:
    """A text with each control, format and unassigned character written as an escape; those in ``keep`` stay."""
    if text.isprintable():
        return text
    return "".join(
        _SHORT.get(one) or _escape(one) if _is_hidden(one) and one not in keep and one not in _JOINERS else one
        for one in text
    )


def json_visible(text: str) -> str:
    """A JSON document with what ``visible`` would escape inside its strings as JSON's own escapes; the same value."""
    return "".join(_json_escape(one) if _is_hidden(one) and one not in "\n" + _JOINERS else one for one in text)


def cell(value: object) -> str:
    """A JSON value as one line of a table; a list or an object as JSON."""
    match value:
        case None:
            return NULL
        case bool():
            return "true" if value else "false"
        case str():
            return visible(value)
        case list() | dict():
            plain = cast("Sequence[object] | Mapping[str, object]", value)
            return visible(json.dumps(plain, ensure_ascii=False))
        case _:
            return str(value)


def _is_hidden(one: str) -> bool:
    return unicodedata.category(one) in _HIDDEN


def _escape(one: str) -> str:
    code = ord(one)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(one: str) -> str:
    units = one.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))

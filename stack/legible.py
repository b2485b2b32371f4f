"""A row's values as people read them: Debezium sends dates as numbers, and JSON inside strings (cdc/encoding.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, cast

import msgspec

from cdc.catalog import Column
from cdc.encoding import DATE_INFINITY, DATE_MINUS_INFINITY, Encoding, encoding_of

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # a timestamp without time zone
_DAY_US = 86_400_000_000
_INFINITE_US = {9223372036854775807: "infinity", -9223372036854775808: "-infinity"}
_INFINITE_DAYS = {DATE_INFINITY: "infinity", DATE_MINUS_INFINITY: "-infinity"}
_object = msgspec.json.Decoder(dict[str, Any])


def legible_row(row: bytes, columns: Iterable[Column]) -> dict[str, Any]:
    """A row image's values by column. Columns that the catalogue does not have, or not any more, stay as they came."""
    known = {column.name: column for column in columns}
    return legible_columns(_object.decode(row), known)


def legible_columns(values: Mapping[str, Any], known: Mapping[str, Column]) -> dict[str, Any]:
    """The same of values that are decoded already."""
    return {name: legible(value, known[name]) if name in known else value for name, value in values.items()}


def legible(value: Any, column: Column) -> Any:
    """One value; what is not as its type's values are sent stays as it came."""
    encoding = encoding_of(column)
    try:
        if column.element and isinstance(value, list):
            return [_decoded(each, encoding) for each in cast("list[Any]", value)]
        return _decoded(value, encoding)
    except (ValueError, OverflowError, msgspec.MsgspecError):
        return value


def _decoded(value: Any, encoding: Encoding | None) -> Any:
    match encoding, value:
        case "date", int():
            return _INFINITE_DAYS.get(value) or (date(1970, 1, 1) + timedelta(days=value)).isoformat()
        case "timestamp", int():
            return _INFINITE_US.get(value) or (_EPOCH + timedelta(microseconds=value)).isoformat()
        case "time", int():
            return "24:00:00" if value == _DAY_US else (_EPOCH + timedelta(microseconds=value)).time().isoformat()
        case "json" | "hstore", str():
            return msgspec.json.decode(value)
        case "hex", str():
            return f"\\x{value}"
        case "text", str():
            return bytes.fromhex(value).decode()
        case _:
            return value

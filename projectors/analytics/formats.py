"""An answer of ad hoc SQL in the form that its reader asked for: JSON, CSV or an Arrow stream."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal

import msgspec
import pyarrow as pa

Form = Literal["json", "csv", "arrow"]

MEDIA_TYPES: dict[Form, str] = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
}
# Looked up once here: where rows are made into values, in a confined process, no file can be read that tells of a time zone.
pa.scalar(0, pa.timestamp("us", "UTC")).as_py()
#: Types that Arrow lacks, or has with less in them.
_LACKING_IN_ARROW = frozenset({"uhugeint"})
#: The same of Python and JSON.
_LACKING = _LACKING_IN_ARROW | {
    *("time", "time with time zone", "time_ns", "timestamp_ns", "interval", "bit", "bignum", "variant")
}
_NESTED = frozenset({"list", "array", "struct", "tuple", "union", "map"})
_SPECIAL = frozenset('",\r\n')


def is_written(kind: Any, form: Form) -> bool:
    """Whether values of a DuckDB type come as DuckDB writes them, as text: the form lacks it, or one inside of it."""
    if kind.id not in _NESTED:
        return kind.id in (_LACKING_IN_ARROW if form == "arrow" else _LACKING)
    inside = [child for _, child in kind.children if not isinstance(child, int)]  # a number is an array's size
    if kind.id == "map" and form != "arrow" and inside[0].id in _NESTED:
        return True  # no key of an object
    return any(is_written(child, form) for child in inside)


def arrow(table: Any) -> bytes:
    """The rows as an Arrow IPC stream, each column in Arrow's own type."""
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue().to_pybytes()


def plain_rows(table: Any) -> list[list[Any]]:
    """The rows as JSON has values: decimals and times as text, times in RFC 3339. Raises ValueError for other times."""
    # By position: two columns may have the same name.
    numbered = table.rename_columns([str(number) for number in range(table.num_columns)])
    try:
        return [[json_value(value) for value in row.values()] for row in numbered.to_pylist(maps_as_pydicts="strict")]
    except OverflowError as exc:
        raise ValueError(str(exc)) from exc


def csv(columns: list[str], rows: list[list[Any]]) -> bytes:
    """RFC 4180 with a header line. Null is an empty field and an empty text is ``""``, so that both come back."""
    lines = (",".join(map(_field, row)) for row in (columns, *rows))
    return "".join(line + "\r\n" for line in lines).encode()


def json_value(value: Any) -> Any:
    """A DuckDB value as JSON has it."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value == value and abs(value) != float("inf") else str(value)
        case Decimal():
            return str(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case list():
            return [json_value(one) for one in value]
        case dict():
            return {str(json_value(key)): json_value(one) for key, one in value.items()}
        case _:
            return str(value)


def _field(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return '"' + text.replace('"', '""') + '"' if text == "" or _SPECIAL.intersection(text) else text

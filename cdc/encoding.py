"""How each type's values arrive under connector.toml's modes, and how the snapshot is made to read them.

The table is measured (docs/decisions/0007), and holds only what was found to be exact for every value of the type; what
is missing here is refused by cdc/fidelity.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from psycopg.sql import SQL, Composed, Identifier

from cdc.catalog import Column, Table

#: direct: JSON number, boolean, or the text PostgreSQL itself reads; json: JSON inside a string; hex: bytes as hexadecimal;
#: number: a decimal in a string, or NAN, POSITIVE_INFINITY, NEGATIVE_INFINITY; date: days since 1970, infinities as below;
#: time and timestamp: microseconds, the latter since 1970, 64 bit with overflow; instant: ISO 8601, years signed or
#: infinity; bit: true or false; bits: base64, least significant byte first, no leading zeros; hstore: a JSON object inside
#: a string; point, line, circle: an object; text: PostgreSQL's text as hexadecimal.
Encoding = Literal[
    "direct", "json", "hex", "number", "date", "time", "timestamp", "instant",
    "bit", "bits", "hstore", "point", "line", "circle", "text",
]  # fmt: skip

#: What Debezium sends for a date's infinities: java.time's limits of java.sql.Date, out of PostgreSQL's range.
DATE_INFINITY, DATE_MINUS_INFINITY = 2146033979, -2147472691

_TYPES: dict[Encoding, str] = {
    "direct": "bool int2 int4 int8 float4 float8 oid text varchar bpchar char name uuid xml inet cidr macaddr macaddr8 "
    "interval int4range int8range numrange tsrange tstzrange daterange tsvector citext ltree",
    "json": "json jsonb",
    "hex": "bytea",
    "number": "numeric money",
    "date": "date",
    "time": "time",
    "timestamp": "timestamp",
    "instant": "timestamptz",
    "bits": "bit",
    "hstore": "hstore",
    "point": "point",
    "line": "line",
    "circle": "circle",
    "text": "int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange tsquery jsonpath "
    "pg_lsn pg_snapshot xid xid8 cid tid",
}
_ENCODINGS: dict[str, Encoding] = {name: encoding for encoding, names in _TYPES.items() for name in names.split()}

#: Types whose arrays, of one dimension, are exact.
_ELEMENT_TYPES = (
    "bool int2 int4 int8 float4 float8 oid text varchar bpchar char citext bytea json jsonb uuid inet cidr macaddr macaddr8 "
    "int4range int8range numrange tsrange tstzrange daterange hstore"
)
_ELEMENTS = frozenset(_ELEMENT_TYPES.split(" "))


def encoding_of(column: Column) -> Encoding | None:
    """The encoding in which a column's values, or an array's elements, arrive; None where they do not arrive exactly."""
    if column.kind == "e":
        return None if column.element else "direct"
    name = column.element or column.base_type
    if not (column.builtin or column.extension in ("citext", "hstore", "ltree")):
        return None
    if column.element and name not in _ELEMENTS:
        return None
    return "bit" if name == "bit" and column.length == 1 else _ENCODINGS.get(name)


def pattern(table: Table) -> str:
    """The regular expression (Java's) for exactly this table in the connector's lists, which split at commas and colons."""
    return re.sub(r"[^\w.]|\.", lambda match: f"\\x{{{ord(match[0]):x}}}", table.qualified)


def snapshot_selects(tables: Iterable[Table]) -> dict[str, str]:
    """Connector settings by which the snapshot reads tables whose values Debezium's own SELECT would change."""
    selects = {_quoted(table): select for table in tables if (select := snapshot_select(table)) is not None}
    if not selects:
        return {}
    option = "snapshot.select.statement.overrides"
    return {option: ",".join(selects)} | {f"{option}.{name}": select for name, select in selects.items()}


def snapshot_select(table: Table) -> str | None:
    """The SELECT by which the snapshot must read a table, None where Debezium's own is exact.

    Debezium's snapshot reads dates through java.sql.Date: years before Christ lose their sign, the ten days that the
    Gregorian calendar left out move. Numbers of days pass through it unchanged.
    """
    captured = [column for column in table.columns if column.generated is None]
    if not any(column.base_type == "date" for column in captured):
        return None
    columns = SQL(", ").join(_days(c) if c.base_type == "date" else Identifier(c.name) for c in captured)
    return SQL("select {} from {}").format(columns, Identifier(table.schema, table.name)).as_string()


def _quoted(table: Table) -> str:
    return Identifier(table.schema, table.name).as_string()


def _days(column: Column) -> Composed:
    return SQL("""
        case {column} when 'infinity' then {infinity} when '-infinity' then {minus_infinity}
                      else {column} - date '1970-01-01' end as {column}
    """).format(column=Identifier(column.name), infinity=DATE_INFINITY, minus_infinity=DATE_MINUS_INFINITY)

"""From the form in which a column's values arrive (cdc/encoding.py) to PostgreSQL's own values, as SQL expressions."""

from __future__ import annotations

from typing import LiteralString, cast

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from cdc.catalog import Column
from cdc.encoding import DATE_INFINITY, DATE_MINUS_INFINITY, Encoding, encoding_of

#: How JSON is read into a record before it is converted; direct values are read as what they are.
_RECORD_TYPES: dict[Encoding, LiteralString] = {
    "date": "integer",
    "time": "bigint",
    "timestamp": "bigint",
    "bit": "boolean",
    "point": "json",
    "line": "json",
    "circle": "json",
}

#: {v} is the value as read, {type} the column's type.
_CONVERSIONS: dict[Encoding, LiteralString] = {
    "direct": "{v}",
    "json": "{v}::{type}",
    "hex": "decode({v}, 'hex')",
    "number": """case {v} when 'POSITIVE_INFINITY' then 'Infinity' when 'NEGATIVE_INFINITY' then '-Infinity'
                          else {v} end::{type}""",
    "date": """case {v} when {infinity} then 'infinity' when {minus_infinity} then '-infinity'
                        else date '1970-01-01' + {v} end""",
    "time": "case {v} when 86400000000 then '24:00' else time '00:00' + {v} * interval '1 microsecond' end::{type}",
    "timestamp": "readside.timestamp_of({v})::{type}",
    "instant": "readside.timestamptz_of({v})::{type}",
    "bit": "{v}::int::{type}",
    "bits": "readside.bits_of({v}, {length})::{type}",
    "hstore": """case when {v} is not null then (
                 select coalesce(hstore(array_agg(e.key), array_agg(e.value)), '') from json_each_text({v}::json) e) end""",
    "point": "format('(%%s,%%s)', {v}->>'x', {v}->>'y')::point",
    "line": "format('{{%%s,%%s,%%s}}', {v}->>'a', {v}->>'b', {v}->>'c')::line",
    "circle": "format('<(%%s,%%s),%%s>', {v}->'center'->>'x', {v}->'center'->>'y', {v}->>'radius')::circle",
    "text": "convert_from(decode({v}, 'hex'), 'UTF8')::{type}",
}
_OBJECTS = ("point", "line", "circle")


def column_type(column: Column) -> SQL:
    """The column's type as the mirror declares it."""
    # format_type() of the source's catalogue: PostgreSQL's own spelling, quoted where it must be. Trusted as SQL.
    return SQL(cast("LiteralString", column.type))


def record_type(column: Column) -> Composable:
    """The type as which a column is to be read from JSON, before ``value_of``."""
    encoding = _encoding(column)
    if encoding == "direct":
        return column_type(column)
    read = SQL(_RECORD_TYPES.get(encoding, "text"))
    return SQL("{}[]").format(read) if column.element else read


def value_of(column: Column) -> Composed:
    """The value of a column that was read as x."""
    name, encoding = Identifier("x", column.name), _encoding(column)
    if not column.element or encoding == "direct":
        return _converted(column, encoding, name)
    element = _converted(column, encoding, SQL("element.v"))
    return SQL("""
        case when {name} is not null then array(
             select {element} from unnest({name}) with ordinality element(v, n) order by n)::{type} end
    """).format(name=name, element=element, type=column_type(column))


def named_value(column: Column) -> Composed:
    """``value_of`` under the column's name."""
    return SQL("{} as {}").format(value_of(column), Identifier(column.name))


def _converted(column: Column, encoding: Encoding, value: Composable) -> Composed:
    declared = column_type(column)
    if column.element:
        declared = SQL(cast("LiteralString", column.type.removesuffix("[]")))
    converted = SQL(_CONVERSIONS[encoding]).format(
        v=value,
        type=declared,
        length=Literal(column.length),
        infinity=Literal(DATE_INFINITY),
        minus_infinity=Literal(DATE_MINUS_INFINITY),
    )
    return SQL("case when {} is not null then {} end").format(value, converted) if encoding in _OBJECTS else converted


def _encoding(column: Column) -> Encoding:
    encoding = encoding_of(column)
    assert encoding is not None, "cdc.fidelity refuses other columns"
    return encoding

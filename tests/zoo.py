"""A type zoo: tables with a column of every type that is mirrored, and the changes a PostgreSQL database can make to them.

``SETUP``, then ``insert(1)``: before the snapshot; ``stream()``: afterwards. Statements run one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

#: Values of each type, as SQL writes them: ordinary ones first, then every one that some mode of Debezium would change.
SCALARS: Mapping[str, Sequence[str]] = {
    "boolean": ["true", "false"],
    "smallint": ["-32768", "7"],
    "int": ["1073741823", "-1"],
    "bigint": ["9223372036854775807", "-9223372036854775808"],
    "real": ["3.3", "'NaN'", "'-Infinity'", "'-0'", "1e-45", "3.4028235e38", "16777216"],
    "double precision": ["4.44", "'Infinity'", "1e308", "5e-324", "0.1::float8 + 0.2", "'-0'", "1e22", "'NaN'"],
    "numeric(10,2)": ["12345678.90", "'NaN'", "-0.01"],
    "numeric": ["10.1111", "1.10", "'Infinity'", "'-Infinity'", "'NaN'", "1e-20", "1e20", "0.00", "1e1000"],
    "numeric(6)": ["22", "0"],
    "numeric(5,-2)": ["12300", "0"],
    "numeric(30,25)": ["12345.1234567890123456789012345", "0"],
    "money": ["'-1234.11'", "'92233720368547758.07'", "'-92233720368547758.08'", "'0.05'"],
    "oid": ["4000000000", "0"],
    "text": ["'žš😀 \"q\" \\n'", "''", "E'a\\nb\\tc\\\\ \\u2028'", "'__debezium_unavailable_value'", "'[null'", "'null'"],
    "varchar(5)": ["'ab'", "'ž😀'"],
    "char(5)": ["'abc'", "''"],
    '"char"': ["'x'", "''", "E'\\\\351'"],
    "name": ["'nm'", "'ž'"],
    "citext": ["'MiXed'", "'b'"],
    "bytea": ["'\\xDEADBEEF'", "''", "'\\x00'"],
    "json": ['\'{"b":1, "a": 1.10, "b":2}\'', "'\"\\u0041\"'", "'\"\\u0000\"'", "'null'", "'[null, [null]]'"],
    "jsonb": ['\'{"b":1, "a": 1.10, "n":12345678901234567890.123}\'', "'null'", "'[]'", "'\"ž\"'", "'-0.0'"],
    "uuid": ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", "'00000000-0000-0000-0000-000000000000'"],
    "mood": ["'ok'", "'sad'"],
    '"Mo od"': ["'a,b'", "'c''d'", "'ž'"],
    '"other zoo".mood': ["'other'", "'moods'"],
    "posint": ["5", "6"],
    "label": ["'x'", "'y'"],
    "shout": ["'ABC'", "'D'"],
    "long_ago": ["'0044-03-15 BC'", "'infinity'", "'1582-10-10'"],
    "maybe_time": ["'24:00'", "'00:00:00.000001'"],
    "price": ["1.10", "'NaN'"],
    "payload": ["'{\"a\": [1, null]}'", "'null'"],
    "photo": ["'\\xff00'", "''"],
    "date": [
        "'2026-11-04'", "'infinity'", "'-infinity'", "'4713-01-01 BC'", "'0044-03-15 BC'", "'0001-01-01'", "'1500-02-28'",
        "'1500-03-01'", "'1582-10-04'", "'1582-10-10'", "'1582-10-15'", "'10000-01-01'", "'5874897-12-31'",
        "'0001-12-31 BC'", "'1900-03-01'",
    ],
    "time": ["'13:51:30.123456'", "'24:00:00'", "'00:00'", "'13:51:30.1'", "'23:59:59.999999'"],
    "time(3)": ["'13:51:30.123'", "'24:00'"],
    "time(0)": ["'13:51:30'", "'24:00'"],
    "timestamp": [
        "'2026-11-04 13:51:30.123456'", "'infinity'", "'-infinity'", "'0044-03-15 12:00:00 BC'", "'1582-10-10'",
        "'4713-01-01 BC'", "'9999-12-31 23:59:59.999999'", "'294246-12-31 23:59:59.999999'", "'10000-01-01'",
        "'1500-02-28 01:02:03.000004'", "'1969-12-31 23:59:59.999999'", "'2026-03-29 02:30'",
    ],
    "timestamp(0)": ["'2026-11-04 13:51:30'", "'infinity'", "'0044-03-15 12:00:00 BC'"],
    "timestamp(3)": ["'2026-11-04 13:51:30.120'", "'-infinity'"],
    "timestamptz": [
        "'2026-11-04 13:51:30.123456+02'", "'infinity'", "'-infinity'", "'0044-03-15 12:00:00+00 BC'",
        "'1582-10-10 00:00+00'", "'1900-01-01 00:00:00+00'", "'294276-12-31 23:59:59.999999+00'", "'10000-01-01+00'",
        "'4713-01-01+00 BC'", "'0001-01-01 00:00+00'", "'0001-12-31 00:00+00 BC'", "'1969-12-31 23:59:59.999999+00'",
    ],
    "timestamptz(0)": ["'2026-11-04 13:51:30+02'", "'infinity'"],
    "timestamptz(3)": ["'2026-11-04 13:51:30.12+02'", "'0044-03-15 12:00:00+00 BC'"],
    "interval": [
        "'1 year 2 months 3 days 04:05:06.78'", "'-1 mon +1 day'", "'-00:00:00.000001'", "'178000000 years'", "'0'",
        "'-1 year -2 mons +3 days -04:05:06.789'", "'100000:00:00.123456'", "'2147483647 mons'", "'1 mon -1 day 00:00:01'",
        "'-178000000 years'", "'00:00:59.999999'", "'-2147483647 days'",
    ],
    "interval day": ["'3 days'", "'-1 day'"],
    "interval second(3)": ["'1.234'", "'-0.001'"],
    "bit(1)": ["'1'", "'0'"],
    "bit(3)": ["'101'", "'001'", "'000'"],
    "bit(40)": ["'0000000011110000101010100101010111001100'", "'1000000000000000000000000000000000000001'"],
    "inet": ["'192.168.2.1/12'", "'10.0.0.1'", "'::1'", "'fe80::1/64'"],
    "cidr": ["'10.0.0.0/8'", "'::/0'"],
    "macaddr": ["'08:00:2b:01:02:03'"],
    "macaddr8": ["'08:00:2b:01:02:03:04:05'"],
    "int4range": ["'[1,5]'", "'empty'", "'(,)'"],
    "int8range": ["'[1,9)'", "'[9223372036854775806,)'"],
    "numrange": ["'[1.5,2.50]'", "'(,1.10)'"],
    "tsrange": ["'[2026-01-01 00:00,2026-02-01)'", "'[-infinity,infinity]'", "'[0044-03-15 BC,)'"],
    "tstzrange": ["'[2026-01-01 00:00+00,)'", "'[2026-07-01 00:00+00,2026-07-02 12:00+05]'"],
    "daterange": ["'[2026-01-01,2026-01-31]'", "'[0044-03-15 BC,)'"],
    "int4multirange": ["'{[1,3),[5,7)}'", "'{}'"],
    "nummultirange": ["'{[1.10,3)}'"],
    "tstzmultirange": ["'{[2026-01-01 00:00+00,)}'"],
    "hstore": ["'k=>v, n=>NULL'", "''", "hstore('a b','c\"d')", "hstore('q\"x','\\y')", "hstore('null','null')"],
    "ltree": ["'a.b.c'", "''"],
    "point": ["'(1,2)'", "'(0.1,1e300)'", "'(NaN,Infinity)'", "'(-0,5e-324)'"],
    "line": ["'{1,2,3}'", "'{0.1,-0.2,1e300}'"],
    "circle": ["'<(0,0.1),2>'", "'<(1e300,-0.1),0>'"],
    "tsvector": ["'fat:1A cat'::tsvector", "''"],
    "tsquery": ["'fat & (cat | ''a b'')'::tsquery", "'!x:*A'::tsquery"],
    "jsonpath": ["'$.a[*] ? (@ > 1.10)'"],
    "pg_lsn": ["'0/16B3748'", "'FFFFFFFF/FFFFFFFF'"],
    "pg_snapshot": ["'10:20:10,14'"],
    "xid": ["'77'"],
    "xid8": ["'18446744073709551615'"],
    "cid": ["'5'"],
    "tid": ["'(1,2)'"],
}  # fmt: skip

#: Arrays; every one also holds a null.
ARRAYS: Mapping[str, str] = {
    "boolean": "t,f", "smallint": "1,-2", "int": "1,3", "bigint": "9223372036854775807", "oid": "4000000000",
    "real": "3.3,NaN,-Infinity,-0", "double precision": "4.44,NaN,1e308",
    "text": '"a","b,c","NULL","","\\"q\\\\"',
    "varchar(5)": "ab", "char(5)": "abc", '"char"': "x", "citext": 'MiX,"b,c"', "bytea": '"\\\\x00","\\\\xff"',
    "json": '"{\\"a\\": 1.10}","null"', "jsonb": '"{\\"a\\": 1.10}","[null]"',
    "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "inet": "192.168.2.1/12,10.0.0.1", "cidr": "10.0.0.0/8", "macaddr": "08:00:2b:01:02:03",
    "macaddr8": "08:00:2b:01:02:03:04:05", "int4range": '"[1,5]",empty', "int8range": '"[1,5]"', "numrange": '"[1,5.50]"',
    "tsrange": '"[2026-01-01 00:00,)"', "tstzrange": '"[2026-01-01 00:00+00,)"', "daterange": '"[2026-01-01,2026-01-31]"',
    "hstore": '"k=>v, n=>NULL",""',
}  # fmt: skip

#: Values long enough to be stored out of line, whose columns an update need not send; and what makes another one.
_HASHES = "(select string_agg(md5((g * {n})::text), '') from generate_series(1, 12) g)"
_DIGITS = "(select string_agg((g::bigint * 7919 * {n} % 9973)::text, '')::numeric from generate_series(1, 300) g)"


def _array(element: str) -> str:
    return f"(select array_agg({element}) from generate_series(1, 40) g)"


_HASH = "md5((g * {n})::text)"
LONG: Mapping[str, str] = {
    "text": _HASHES, "varchar": _HASHES, "varchar(20000)": _HASHES, "char(20000)": _HASHES, "label": _HASHES,
    "citext": f"{_HASHES}::citext", "bytea": f"decode({_HASHES}, 'hex')", "photo": f"decode({_HASHES}, 'hex')",
    "json": f"json_build_object('a', {_HASHES})", "jsonb": f"jsonb_build_object('a', {_HASHES})",
    "payload": f"jsonb_build_object('a', {_HASHES})", "hstore": f"hstore('k', {_HASHES})",
    "numeric": _DIGITS, "numrange": f"numrange({_DIGITS}, null)",
    "tsvector": f"array_to_tsvector({_array(_HASH)})", "ltree": f"text2ltree(array_to_string({_array(_HASH)}, '.'))",
    "int4multirange": "(select range_agg(int4range(g * 3, g * 3 + 1 + {n} % 2)) from generate_series(1, 60) g)",
    "int[]": _array("g * 79 * {n}"), "bigint[]": _array("g::bigint * 791900000 * {n}"),
    "text[]": _array(_HASH), "varchar[]": _array(_HASH), "varchar(50)[]": _array(_HASH), "char(40)[]": _array(_HASH),
    "json[]": _array(f"to_json({_HASH})"), "jsonb[]": _array(f"to_jsonb({_HASH})"), "uuid[]": _array(f"{_HASH}::uuid"),
}  # fmt: skip

TYPES = """
    create extension hstore; create extension citext; create extension ltree; create schema "other zoo";
    create type mood as enum ('sad', 'ok', 'happy'); create type "Mo od" as enum ('a,b', 'c''d', 'ž');
    create type "other zoo".mood as enum ('other', 'moods');
    create domain posint as integer check (value > 0); create domain label as text;
    create domain shout as label check (value = upper(value));
    create domain long_ago as date; create domain maybe_time as time;
    create domain price as numeric(10, 2);
    create domain payload as jsonb; create domain photo as bytea;
"""


def column(number: int) -> str:
    """The name of the column of the type with this number."""
    return f"c{number}"


def create() -> Iterator[str]:
    """The tables, empty."""
    yield TYPES
    yield _table("scalars", SCALARS)
    yield _table("arrays", [f"{element}[]" for element in ARRAYS])
    # One value an update leaves alone is not sent in some forms of array: nothing but full identity tells.
    yield "alter table arrays replica identity full"
    yield _table("long", LONG)
    yield "alter table long set (toast_tuple_target = 128)"
    for number, kind in enumerate(LONG):
        yield f"alter table long alter {column(number)} set storage external /* {kind} */"


def insert(first_id: int) -> Iterator[str]:
    """Rows with every value of every type."""
    for place in range(max(map(len, SCALARS.values()))):
        values = [kinds[place % len(kinds)] for kinds in SCALARS.values()]
        yield f"insert into scalars values ({first_id + place}, {', '.join(values)})"
    yield f"insert into scalars (id) values ({first_id + 50})"
    nulls = [f"'{{{elements},NULL}}'" for elements in ARRAYS.values()]
    empty = ["'{}'"] * len(ARRAYS)
    yield f"insert into arrays values ({first_id}, {', '.join(nulls)})"
    yield f"insert into arrays values ({first_id + 1}, {', '.join(empty)})"
    yield f"insert into arrays (id) values ({first_id + 50})"
    for row in range(4):
        values = [value.replace("{n}", str(first_id + row)) for value in LONG.values()]
        yield f"insert into long values ({first_id + row}, 0, {', '.join(values)})"


def stream(first_id: int) -> Iterator[str]:
    """Inserts of every value, updates of every column to another value, and updates that leave the long ones alone."""
    yield from insert(first_id)
    names = [column(number) for number in range(len(SCALARS))]
    columns, others = ", ".join(names), ", ".join(f"o.{name}" for name in names)
    yield (
        f"update scalars s set ({columns}) = (select {others} from scalars o where o.id = s.id + {first_id}) where id < 5"
    )
    yield "update arrays a set c0 = o.c0, c7 = '{u}' from arrays o where a.id = o.id + 1"
    yield "update long set small = small + 1 where id % 2 = 0; update long set small = small + 1 where id % 3 = 0"
    yield "update long set id = id + 1000, small = 5 where id % 4 = 1"
    yield "update long set c0 = 'short', c1 = null where id % 4 = 2"


def _table(name: str, types: Iterator[str] | Mapping[str, object] | Sequence[str]) -> str:
    small = "small int, " if name == "long" else ""
    columns = ", ".join(f"{column(number)} {kind}" for number, kind in enumerate(types))
    return f"create table {name} (id int primary key, {small}{columns})"

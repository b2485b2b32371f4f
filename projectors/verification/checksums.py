"""Checksums of rows, computed where they lie: of each range of a hash of the key, how many rows there are and the sum of
their hashes. PostgreSQL and DuckDB compute the same, whatever their order of texts; ranges that agree hold the same rows.

That two databases write a value differently makes ranges disagree that do not differ: their rows are then compared, which
costs time alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, LiteralString, TypeAlias, cast

Dialect = Literal["postgres", "duckdb"]
Checksums: TypeAlias = Mapping[str, tuple[int, int]]  # by range: rows, sum of their hashes

_HEX: Mapping[Dialect, LiteralString] = {  # 60 bits, as a whole number
    "postgres": "('x' || substr(md5({}), 1, 15))::bit(60)::bigint",
    "duckdb": "('0x' || substr(md5({}), 1, 15))::bigint",
}


def range_of(key: Sequence[str]) -> LiteralString:
    """SQL for the range that a row is in, one of 256; ``key``: its columns."""
    return cast("LiteralString", f"substr(md5({_text(key)}), 1, 2)")


def checksums(query: LiteralString, key: Sequence[str], columns: Sequence[str], dialect: Dialect) -> LiteralString:
    """SQL for (range, rows, sum of hashes) of what a query gives; ``columns``: all of its columns."""
    hashed = _HEX[dialect].format(_text(columns))
    statement = f"select {range_of(key)}, count(*), sum({hashed})::varchar from ({query}) rows group by 1"  # noqa: S608
    return cast("LiteralString", statement)


def _text(columns: Sequence[str]) -> str:
    values = (f'"{name.replace(chr(34), chr(34) * 2)}"::varchar' for name in columns)
    return " || chr(31) || ".join(f"case when {value} is null then '-' else '+' || {value} end" for value in values)

"""Ad hoc SQL on the live store: one reading statement, bounded in time and rows, stamped with the store's position.

Every layer is needed (notes on DuckDB 2.0, section 1.5): exactly one statement of a reading kind, a read-only
transaction, no access to files, a locked configuration, a timer that interrupts, and results fetched to an end at once.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import duckdb

from projectors.analytics.store import AnalyticsStore
from projectors.checkpoint import lsn_value, time_of

_MOST_BYTES = 32 << 20  # of an answer: each becomes a Python object or more, in the process that also writes
#: Types that Python lacks, or has with less in them: their values come as DuckDB writes them.
_WRITTEN = ("TIME", "TIME WITH TIME ZONE", "TIMESTAMP_NS", "INTERVAL", "BIT", "BIGNUM")
_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)


class Refused(Exception):
    """The statement is not run, or was stopped; ``status`` is the HTTP status, the message says why and what to change."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows as JSON-able values: decimals and times as text, times in RFC 3339 UTC."""

    columns: list[str]
    types: list[str]
    rows: list[list[Any]]
    truncated: bool
    as_of: datetime | None  #: commit time of the last source transaction in the answer
    end_lsn: int


def query(
    store: AnalyticsStore, sql: str, parameters: Mapping[str, Any], *, timeout_s: float, most_rows: int
) -> Answer:
    """Run one reading statement. Raises Refused."""
    cursor = store.cursor()
    try:
        statement = _one_reading_statement(cursor, sql)
        timer = threading.Timer(timeout_s, cursor.interrupt)
        timer.start()
        try:
            return _run(cursor, statement, parameters, most_rows)
        except duckdb.InterruptException as exc:
            raise Refused(
                408, f"stopped after {timeout_s:g} s; narrow the statement, or raise READSIDE_SQL_TIMEOUT_S"
            ) from exc
        except duckdb.OutOfMemoryException as exc:
            raise Refused(413, "the statement needs more memory than READSIDE_SQL_MEMORY allows; narrow it") from exc
        except duckdb.Error as exc:
            raise Refused(400, _without_paths(str(exc))) from exc
        finally:
            timer.cancel()
    finally:
        cursor.close()


def _run(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any], most_rows: int) -> Answer:
    cursor.execute("begin transaction read only")
    # The position is read in the same transaction, so it is the answer's own.
    stamps = cursor.execute("select epoch_us(as_of), end_lsn from _readside").fetchall()
    relation = cursor.sql(sql, params=dict(parameters)) if parameters else cursor.sql(sql)
    types = [str(kind) for kind in relation.types]
    written = relation
    if not set(_WRITTEN).isdisjoint(types):  # by position: two columns may have the same name
        places = (f"#{place}{'::varchar' if kind in _WRITTEN else ''}" for place, kind in enumerate(types, 1))
        written = relation.project(", ".join(places))
    # Fetched to an end at once: an open result would keep DuckDB from checkpointing.
    table = written.limit(most_rows + 1).to_arrow_table()
    cursor.execute("rollback")
    if table.nbytes > _MOST_BYTES:
        raise Refused(413, f"the answer has more than {_MOST_BYTES >> 20} MiB; select fewer columns or rows")
    try:
        rows = [[json_value(value) for value in row.values()] for row in _rows(table)]
    except (OverflowError, ValueError) as exc:
        raise Refused(
            400, "a date or time in the answer is infinite or not of the years 1 to 9999; cast it to varchar"
        ) from exc
    as_of, end_lsn = stamps[0] if stamps else (None, "0/0")
    return Answer(
        columns=list(relation.columns),
        types=types,
        rows=rows[:most_rows],
        truncated=len(rows) > most_rows,
        as_of=None if as_of is None else time_of(as_of),
        end_lsn=lsn_value(end_lsn),
    )


def _rows(table: Any) -> list[dict[str, Any]]:
    # By position: two columns may have the same name.
    numbered = table.rename_columns([str(number) for number in range(table.num_columns)])
    return numbered.to_pylist()


def _one_reading_statement(cursor: duckdb.DuckDBPyConnection, sql: str) -> str:
    try:
        statements = cursor.extract_statements(sql)
    except duckdb.Error as exc:
        raise Refused(400, _without_paths(str(exc))) from exc
    if len(statements) != 1:
        raise Refused(400, f"exactly one statement is run at a time; these are {len(statements)}")
    if statements[0].type not in _READING:
        raise Refused(403, "only select and explain are run here; the store is written by its projector alone")
    return statements[0].query


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
            return {str(key): json_value(one) for key, one in value.items()}
        case _:
            return str(value)


def _without_paths(message: str) -> str:
    return re.sub(r"/[^\s\"']+", "…", message)

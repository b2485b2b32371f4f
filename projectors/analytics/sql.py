"""Ad hoc SQL on the live store: one reading statement, run in a confined process, stamped with the store's position.

This process looks at nothing of the statement. In the confined one (confined.py), where the kernel keeps it from files and
bounds its time and memory, DuckDB has bounds of its own, whose errors say what to change: exactly one statement of a
reading kind, a read-only transaction, no access to files, a locked configuration, a limit on memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, BinaryIO

import duckdb
import msgspec
import pyarrow as pa

from projectors.analytics.confined import Busy, Ended
from projectors.analytics.formats import Form, arrow, csv, is_written, plain_rows
from projectors.analytics.store import AnalyticsStore
from projectors.checkpoint import time_of

#: What is said of an answer, from its own snapshot.
STAMP = """(select epoch_us(as_of) as as_of_us, end_lsn, (select count(*) from readside.dead_letters) as dead_letters
              from _readside)"""
_READING = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
#: What tells where the store's files lie, or runs a text that nobody has looked at. As words, wherever they stand: no other
#: spelling of a name means the same to DuckDB. ``query`` may be a column's name too: where a bracket follows, or what could
#: hide one, it is the function. DuckDB has white space and ends of comments that Python has not. ``histogram`` is two: a
#: macro that reads the table its first argument names, and has two at least; and what counts values, which one argument
#: suffices, here one that holds no comma, bracket, text or comment.
_TELLING = re.compile(
    r"\b(histogram_values|histogram(?!\s*\([\w.:%+*\s]+\))(?=\"?[^\w\x21-\x7e]*(?:\(|--|/\*))"
    r"|duckdb_(?:databases|\w*settings|secrets|extensions|temporary_files|logs?\w*|log_contexts)|pragma_(?:database_\w+|platform|version)"
    r"|current_setting|pg_settings|which_secret|json_execute_serialized_sql|query(?:_table)?(?=\"?[^\w\x21-\x7e]*(?:\(|--|/\*)))\b",
    re.IGNORECASE,
)


class Refused(Exception):
    """The statement is not run, or was stopped; ``status`` is the HTTP status, the message says why and what to change."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Head(msgspec.Struct, kw_only=True):
    """What the confined process says of its answer, in the first line of its result."""

    status: int = 200
    detail: str = ""
    truncated: bool = False
    as_of_us: int | None = None
    end_lsn: str = "0/0"
    dead_letters: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer in the form that was asked for."""

    head: Head
    body: bytes


class Rows(msgspec.Struct):
    """A JSON answer."""

    columns: list[str]
    types: list[str]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    as_of: datetime | None
    end_lsn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of a caller, with values for its ``$name`` parameters."""

    sql: str
    parameters: Mapping[str, Any]
    form: Form
    most_rows: int


def query(store: AnalyticsStore, statement: Statement) -> Answer:
    """Run one reading statement. Raises Refused."""
    limits = store.confinement.limits
    try:
        result = store.confinement.run(partial(_work, store, statement))
    except Busy as exc:
        raise Refused(503, f"{exc}; ask again in a moment") from exc
    except Ended as exc:
        if exc.by_time:
            raise Refused(
                408, f"stopped after {limits.seconds:g} s; narrow the statement, or raise READSIDE_SQL_TIMEOUT_S"
            ) from exc
        raise _too_much_memory() from exc
    head, _, body = result.partition(b"\n")
    said = msgspec.json.decode(head, type=Head)
    if said.status != 200:
        raise Refused(said.status, said.detail)
    return Answer(said, body)


def _work(store: AnalyticsStore, statement: Statement, result: BinaryIO) -> None:
    """In the confined process: run the statement and write its answer."""
    try:
        head, body = _refusing(store, statement)
    except Refused as exc:
        head, body = Head(status=exc.status, detail=str(exc)), b""
    result.write(msgspec.json.encode(head))
    result.write(b"\n")
    result.write(body)


def _refusing(store: AnalyticsStore, statement: Statement) -> tuple[Head, bytes]:
    try:
        return _run(store, statement)
    except (duckdb.OutOfMemoryException, MemoryError, pa.ArrowMemoryError, duckdb.IOException) as exc:
        # It may open no file, so it fails when DuckDB would put into one what memory does not hold, or read from it.
        if isinstance(exc, duckdb.IOException) and store.spilled:
            raise Refused(
                503, "some of the store lies in a temporary file until its next checkpoint; ask again in a moment"
            ) from exc
        raise _too_much_memory() from exc
    except pa.ArrowException as exc:
        raise Refused(400, f"Arrow cannot hold the answer, cast it to varchar: {_without_paths(str(exc))}") from exc
    except duckdb.PermissionException as exc:
        raise Refused(403, _without_paths(str(exc))) from exc
    except duckdb.Error as exc:
        raise Refused(400, _without_paths(str(exc))) from exc


def _too_much_memory() -> Refused:
    return Refused(413, "the statement needs more memory than READSIDE_SQL_MEMORY allows; narrow it")


def _run(store: AnalyticsStore, statement: Statement) -> tuple[Head, bytes]:
    cursor = store.forked_cursor()
    sql = _one_reading_statement(cursor, statement.sql)
    cursor.execute("begin transaction read only")
    # The position is read in the same transaction, so it is the answer's own.
    stamps = cursor.execute(f"select as_of_us, end_lsn, dead_letters from {STAMP}").fetchall()
    as_of_us, end_lsn, dead_letters = stamps[0] if stamps else (None, "0/0", 0)
    parameters = dict(statement.parameters)
    relation = cursor.sql(sql, params=parameters) if parameters else cursor.sql(sql)
    columns, types = list(relation.columns), [str(kind) for kind in relation.types]
    written = [is_written(kind, statement.form) for kind in relation.types]
    if any(written):
        # By position: two columns may have the same name.
        places = (f"#{place}{'::varchar' if as_text else ''}" for place, as_text in enumerate(written, 1))
        relation = relation.project(", ".join(places))
    table = relation.limit(statement.most_rows + 1).to_arrow_table()
    head = Head(
        truncated=table.num_rows > statement.most_rows, as_of_us=as_of_us, end_lsn=end_lsn, dead_letters=dead_letters
    )
    table = table.slice(0, statement.most_rows)
    most = store.confinement.limits.result_bytes
    _require_few(table.nbytes, most)
    body = _encoded(statement.form, columns, types, table, head)
    _require_few(len(body), most)
    # As long as it was, for an Arrow stream says how long each of its texts is.
    return head, body.replace(where := bytes(store.directory), b"*" * len(where))


def _encoded(form: Form, columns: list[str], types: list[str], table: Any, head: Head) -> bytes:
    if form == "arrow":
        return arrow(table.rename_columns(columns))
    try:
        rows = plain_rows(table)
    except ValueError as exc:
        raise Refused(
            400, "a date or time in the answer is infinite or not of the years 1 to 9999; cast it to varchar"
        ) from exc
    if form == "csv":
        return csv(columns, rows)
    return in_json(columns, types, rows, head)


def in_json(columns: list[str], types: list[str], rows: list[list[Any]], head: Head) -> bytes:
    """The body of a JSON answer."""
    as_of = None if head.as_of_us is None else time_of(head.as_of_us)
    return msgspec.json.encode(Rows(columns, types, rows, len(rows), head.truncated, as_of, head.end_lsn))


def _require_few(size: int, most: int) -> None:
    if size > most:
        raise Refused(
            413, f"the answer has more than the {most:,} bytes of READSIDE_SQL_BYTES; select fewer columns or rows"
        )


def _one_reading_statement(cursor: duckdb.DuckDBPyConnection, sql: str) -> str:
    if found := _TELLING.search(sql):
        raise Refused(
            403, f"{found[1]} is not for ad hoc SQL: it tells of this machine, or runs what was not looked at"
        )
    statements = cursor.extract_statements(sql)
    if len(statements) != 1:
        raise Refused(400, f"exactly one statement is run at a time; these are {len(statements)}")
    if statements[0].type not in _READING:
        raise Refused(403, "only select and explain are run here; the store is written by its projector alone")
    return statements[0].query


def _without_paths(message: str) -> str:
    return re.sub(r"/[^\s\"']+", "…", message)

"""Runs a statement of the store's own in the projector's process, on a connection of its own; from any thread."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

import duckdb

from projectors.analytics.connection import Connection
from projectors.analytics.formats import json_value
from projectors.analytics.sql import STAMP, Answer, Head, Refused, in_json
from projectors.analytics.statements import Parameters, Statement
from projectors.analytics.store import AnalyticsStore

# One SELECT is a transaction of its own, which only reads, so the position is that of the rows.
_STAMPED = f"select s.*, p.as_of_us, p.end_lsn, p.dead_letters from ({{}}) s left join {STAMP} p on true"
_AGAIN_S = 0.1


def answer(store: AnalyticsStore, statement: Statement, asked: Parameters, *, timeout_s: float) -> Answer:
    """The rows, all of them. Raises Refused, also for parameters that are wrong."""
    try:
        sql, parameters = statement(asked)
    except ValueError as exc:
        raise Refused(400, str(exc)) from exc
    cursor = store.cursor()
    try:
        with _stopped(cursor, timeout_s):
            found = cursor.execute(_STAMPED.format(sql), parameters)
    except duckdb.InterruptException as exc:
        raise Refused(408, f"stopped after {timeout_s:g} s; ask for less, or raise READSIDE_SQL_TIMEOUT_S") from exc
    except duckdb.OutOfMemoryException as exc:
        raise Refused(413, "the answer needs more memory than READSIDE_ANALYTICS_MEMORY allows; ask for less") from exc
    except duckdb.CatalogException as exc:
        raise Refused(404, "this store has not the read models that the statement reads") from exc
    finally:
        cursor.close()
    rows = found.fetchall()
    as_of_us, end_lsn, dead_letters = rows[0][-3:] if rows and rows[0][-1] is not None else (None, "0/0", 0)
    head = Head(as_of_us=as_of_us, end_lsn=end_lsn, dead_letters=dead_letters)
    plain = [[json_value(value) for value in row[:-3]] for row in rows]
    return Answer(head, in_json(found.columns[:-3], found.types[:-3], plain, head))


@contextmanager
def _stopped(cursor: Connection, after_s: float) -> Generator[None]:
    """Interrupt what runs on the connection once the time is up, until the block has ended."""
    ended = threading.Event()

    def stop() -> None:
        pause_s = after_s
        # Again and again: DuckDB forgets an interrupt that comes before the statement, which may still wait for a fork.
        while not ended.wait(pause_s):
            cursor.interrupt()
            pause_s = _AGAIN_S

    thread = threading.Thread(target=stop, name="deadline", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()

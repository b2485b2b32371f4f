"""Runs a statement of the store's own in the projector's process, on a connection of its own; from any thread."""

from __future__ import annotations

import threading

import duckdb

from projectors.analytics.formats import json_value
from projectors.analytics.sql import Answer, Head, Refused, in_json
from projectors.analytics.statements import Parameters, Statement
from projectors.analytics.store import AnalyticsStore

# One SELECT is a transaction of its own, which only reads, so the position is that of the rows.
_STAMPED = "select s.*, epoch_us(p.as_of), p.end_lsn from ({}) s left join _readside p on true"


def answer(store: AnalyticsStore, statement: Statement, asked: Parameters, *, timeout_s: float) -> Answer:
    """The rows, all of them. Raises Refused, also for parameters that are wrong."""
    try:
        sql, parameters = statement(asked)
    except ValueError as exc:
        raise Refused(400, str(exc)) from exc
    cursor = store.cursor()
    timer = threading.Timer(timeout_s, cursor.interrupt)
    timer.start()
    try:
        found = cursor.execute(_STAMPED.format(sql), parameters)
    except duckdb.InterruptException as exc:
        raise Refused(408, f"stopped after {timeout_s:g} s; ask for less, or raise READSIDE_SQL_TIMEOUT_S") from exc
    except duckdb.OutOfMemoryException as exc:
        raise Refused(413, "the answer needs more memory than READSIDE_ANALYTICS_MEMORY allows; ask for less") from exc
    except duckdb.CatalogException as exc:
        raise Refused(404, "this store has not the read models that the statement reads") from exc
    finally:
        timer.cancel()
        cursor.close()
    rows = found.fetchall()
    as_of_us, end_lsn = rows[0][-2:] if rows and rows[0][-1] is not None else (None, "0/0")
    head = Head(as_of_us=as_of_us, end_lsn=end_lsn)
    plain = [[json_value(value) for value in row[:-2]] for row in rows]
    return Answer(head, in_json(found.columns[:-2], found.types[:-2], plain, head))

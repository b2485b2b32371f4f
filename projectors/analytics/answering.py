"""Runs a statement of the store's own in the projector's process, on a connection of its own; from any thread."""

from __future__ import annotations

import threading

import duckdb

from projectors.analytics.sql import Answer, Refused, json_value
from projectors.analytics.statements import Parameters, Statement
from projectors.analytics.store import AnalyticsStore
from projectors.checkpoint import lsn_value, time_of

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
        # Fetched to an end at once: an open result would keep DuckDB from checkpointing.
        found = cursor.execute(_STAMPED.format(sql), parameters).fetchall()
        columns = [(name, str(kind)) for name, kind, *_ in cursor.description or ()][:-2]
    except duckdb.InterruptException as exc:
        raise Refused(408, f"stopped after {timeout_s:g} s; ask for less, or raise READSIDE_SQL_TIMEOUT_S") from exc
    except duckdb.OutOfMemoryException as exc:
        raise Refused(413, "the answer needs more memory than READSIDE_SQL_MEMORY allows; ask for less") from exc
    except duckdb.CatalogException as exc:
        raise Refused(404, "this store has not the read models that the statement reads") from exc
    finally:
        timer.cancel()
        cursor.close()
    as_of, end_lsn = found[0][-2:] if found and found[0][-1] is not None else (None, "0/0")
    return Answer(
        columns=[name for name, _ in columns],
        types=[kind for _, kind in columns],
        rows=[[json_value(value) for value in row[:-2]] for row in found],
        truncated=False,
        as_of=None if as_of is None else time_of(as_of),
        end_lsn=lsn_value(end_lsn),
    )

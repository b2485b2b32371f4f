"""A serving store full of rows that no stream has brought: its mirror filled by SQL, and what is declared built from it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import LiteralString

import psycopg

from cdc.catalog import Table
from cdc.shapes import Shapes
from projectors.checkpoint import Checkpoint
from projectors.read_model import Declarations
from projectors.serving.store import ServingStore


def fill(
    dsn: str, tables: Sequence[Table], shapes: Shapes, declarations: Declarations, statements: LiteralString
) -> float:
    """Make the store with a mirror that ``statements`` fill; seconds that it then takes to build everything declared."""
    empty = ServingStore(dsn, tables, Declarations(), shapes=shapes)
    position = Checkpoint(phase="streaming", end_lsn=1, committed_us=1, changes=0, rate=0.0, state={})
    empty.open()
    empty.load((), lambda: position)
    empty.close()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statements)
        connection.execute("vacuum analyze")
    began = time.perf_counter()
    store = ServingStore(dsn, tables, declarations, shapes=shapes)
    store.open()
    store.close()
    took = time.perf_counter() - began
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("vacuum analyze")
    return took

"""The shop of docs/analytics.md, whose changes (shop.sql) take the way of every change into an analytics store."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path

import duckdb

from cdc.assembler import Transaction
from cdc.catalog import read_tables
from cdc.change import Change
from cdc.shapes import read_shapes
from projectors import registry
from projectors.analytics.store import AnalyticsStore
from projectors.checkpoint import Checkpoint

_SQL = Path(__file__).with_name("shop.sql")
_BATCH = 5_000  # transactions
_CHANGES = """
    select dense_rank() over (order by moment, rank, transaction) as place, epoch_us(moment),
           'public.' || "table", op, id, row
      from change
     where moment <= (select told_at from period)
     order by place, "table" desc, id
"""


@contextmanager
def shop_store(source_dsn: str, publication: str, directory: Path) -> Generator[AnalyticsStore]:
    """The shop in a store of its own, as of the end of its half year, for as long as the block runs.

    ``source_dsn``: a write database, which is asked for its catalogue alone; ``directory``: where the store's file lies.
    """
    tables, shapes = read_tables(source_dsn, publication), read_shapes(source_dsn, publication)
    declarations = registry.load("projectors.read_models").of_store("analytics")
    store = AnalyticsStore(directory / "shop.duckdb", tables, declarations, memory_limit="512MB", shapes=shapes)
    transactions, until_us = told()
    store.open()
    try:
        store.load([], partial(_at, 0, transactions[0].committed_us))
        for first in range(0, len(transactions), _BATCH):
            batch = transactions[first : first + _BATCH]
            store.apply(batch, _at(batch[-1].end_lsn, batch[-1].committed_us))
        store.apply([], _at(transactions[-1].end_lsn + 1, until_us))  # as a pulse does: nothing, and that is known
        yield store
    finally:
        store.close()


def told() -> tuple[list[Transaction], int]:
    """Every transaction of the shop in commit order, and the moment up to which is told, in microseconds since 1970 UTC."""
    with duckdb.connect() as scratch:
        scratch.execute(_SQL.read_text())
        rows = scratch.execute(_CHANGES).fetchall()
        until = scratch.execute("select epoch_us(told_at) from period").fetchone()
    assert until is not None
    transactions: list[Transaction] = []
    for place, changes in groupby(rows, key=lambda row: row[0]):
        made = [
            Change(
                table=table, op=op, key=json.dumps({"id": id}).encode(), row=row.encode(), partial=False, old_key=None,
                xid=place, order=order, lsn=place, previous_end=None, committed_us=committed_us,
            )
            for order, (_, committed_us, table, op, id, row) in enumerate(changes, 1)
        ]  # fmt: skip
        transactions.append(Transaction(xid=place, end_lsn=place, committed_us=made[0].committed_us, changes=made))
    return transactions, until[0]


def _at(end_lsn: int, committed_us: int) -> Checkpoint:
    return Checkpoint(
        phase="streaming", end_lsn=end_lsn, committed_us=committed_us, changes=end_lsn, rate=0.0, state={"frontier": {}}
    )

"""``bench rebuild``: the order list of a full store built anew from the mirror, beside the one that serves.

A serving store in a database of its own, on a real PostgreSQL and without Kafka, whose records cost the same whatever is
rebuilt. Twenty times a second a source transaction changes an order, before, during and after; the time from when it was
due until it is committed tells what a reader notices of the rebuild. The floor beside it, in the same run: the model's
query for all keys by plain CREATE TABLE AS, with the same indexes, for which nobody could write.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg
from psycopg.sql import SQL

from benchmarks.database import database
from benchmarks.result import Result
from benchmarks.stored import fill
from cdc.assembler import Transaction
from cdc.change import Change
from config.settings import Settings
from projectors.checkpoint import Checkpoint
from projectors.read_model import Declarations
from projectors.read_models.order_list_item import ORDER_LIST_ITEM
from projectors.run import captured_shapes, captured_tables
from projectors.serving import rebuilds
from projectors.serving.comparison import compare
from projectors.serving.refresh import index_of
from projectors.serving.store import ServingStore

#: The components of the stack that it needs.
NEEDS = "postgres"

GOAL = 50_000  # rows per second
_ORDERS, _LINES = 500_000, 3
_EVERY_S = 0.05
_ALONE_S = 5.0
_DATABASE = "bench_rebuild"
_FILL: LiteralString = """
    insert into mirror.users (id, email, first_name, last_name, display_name, loyalty_tier, status, version, created_at,
                              updated_at)
    select n, n || '@example.com', 'Ada', 'Byron ' || n, 'ada', 'bronze', 'active', 1, now(), now()
      from generate_series(1, 50000) n;
    insert into mirror.orders (id, number, user_id, status, currency, subtotal, tax, shipping, total, shipping_method,
                               shipping_address, estimated_delivery, version, placed_at, updated_at)
    select n, 'O-' || n, 1 + n % 50000, 'pending', 'USD', 30, 2.4, 5, 37.4, 'standard', '{}', date '2027-01-01', 1,
           timestamptz '2026-01-01' + n * interval '1 second', now()
      from generate_series(1, 500000) n;
    insert into mirror.order_items (id, order_id, product_id, sku, name, unit_price, quantity, discounts)
    select n, 1 + (n - 1) / 3, n % 1000, 'SKU-' || n % 1000, 'Walnut thing ' || n % 1000, 10, 1, '[]'
      from generate_series(1, 1500000) n;
"""


def run(settings: Settings) -> Result:
    """Measure on a PostgreSQL server that may be used by others."""
    tables = captured_tables(settings)
    shapes = captured_shapes(settings, tables)
    with database(settings, _DATABASE) as dsn:
        declarations = Declarations(read_models=(ORDER_LIST_ITEM,))
        fill(dsn, tables, shapes, declarations, _FILL)
        store = ServingStore(dsn, tables, declarations, shapes=shapes)
        orders = _Orders(store, store.open())
        orders.change_for(_ALONE_S)
        alone_ms = orders.taken_ms()
        rows_s, whole_s = _rebuild(dsn, orders)
        during_ms = orders.taken_ms()
        store.close()
        floor_rows_s, floor_s = _floor(dsn)
    figures: dict[str, float | int | str] = {
        "rows": _ORDERS,
        "rows_s": rows_s,
        "whole_s": whole_s,
        "rows_per_s": _ORDERS / rows_s,
        "rows_per_s_with_keys_and_indexes": _ORDERS / whole_s,
        "floor_rows_per_s": _ORDERS / floor_rows_s,
        "floor_rows_per_s_with_indexes": _ORDERS / floor_s,
        "rows_ratio": floor_rows_s / rows_s,
        "whole_ratio": floor_s / whole_s,
        "commits_alone_p50_ms": statistics.median(alone_ms),
        "commits_alone_longest_ms": max(alone_ms),
        "commits_during": len(during_ms),
        "commits_during_p50_ms": statistics.median(during_ms),
        "commits_during_longest_ms": max(during_ms),
    }
    rate = _ORDERS / rows_s
    return Result(name="rebuild", figures=figures, goals={"rows_per_s": (rate, GOAL, rate >= GOAL)})


def _rebuild(dsn: str, orders: _Orders) -> tuple[float, float]:
    """Seconds for the rows, and for all of it."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        number = rebuilds.ask(connection, [ORDER_LIST_ITEM.name], swaps=False)
        began = time.perf_counter()
        rows_began = rows_ended = 0.0
        while (state := rebuilds.by_id(connection, number).state) != "built":
            if state == "failed":
                raise RuntimeError(rebuilds.by_id(connection, number).why)
            orders.attend()
            for each in rebuilds.progress(connection):
                if each.state == "rows" and not rows_began:
                    rows_began = time.perf_counter()
                if each.state == "indexes" and not rows_ended:
                    rows_ended = time.perf_counter()
        whole_s = time.perf_counter() - began
        found = compare(
            connection, ORDER_LIST_ITEM.name, ORDER_LIST_ITEM.name, f"{ORDER_LIST_ITEM.name}__next", ORDER_LIST_ITEM.key
        )
    if not found.same:
        raise RuntimeError(f"what was built is not what serves: {found.kinds}")
    return rows_ended - rows_began, whole_s


@dataclass(slots=True)
class _Orders:
    """Changes of orders, due twenty times a second."""

    store: ServingStore
    checkpoint: Checkpoint
    _made: int = 0
    _due: float = field(default_factory=time.perf_counter)
    _taken_ms: list[float] = field(default_factory=list[float])

    def change_for(self, seconds: float) -> None:
        """Nothing but changes for so long."""
        self._due = time.perf_counter()
        ends = self._due + seconds
        while time.perf_counter() < ends:
            self._change_if_due()
            time.sleep(0.002)

    def attend(self) -> None:
        """As a projector's loop does: what is due, then a turn of the store's own work."""
        self._change_if_due()
        if not self.store.attend():
            time.sleep(0.002)

    def taken_ms(self) -> list[float]:
        """How long the changes since the last call took, from when they were due."""
        taken, self._taken_ms = self._taken_ms, []
        return taken

    def _change_if_due(self) -> None:
        while time.perf_counter() >= self._due:
            self._made += 1
            batch = [_transaction(self._made)]
            self.checkpoint = Checkpoint(
                phase="streaming",
                end_lsn=batch[-1].end_lsn,
                committed_us=batch[-1].committed_us,
                changes=self.checkpoint.changes + 1,
                rate=0.0,
                state={},
            )
            self.store.apply(batch, self.checkpoint)
            self._taken_ms.append((time.perf_counter() - self._due) * 1000)
            self._due += _EVERY_S


def _transaction(number: int) -> Transaction:
    order = 1 + number * 7919 % _ORDERS
    row = {
        "id": order, "number": f"O-{order}", "user_id": 1 + order % 50000, "status": "paid", "currency": "USD",
        "subtotal": "30.00", "tax": "2.40", "shipping": "5.00", "total": "37.40", "shipping_method": "standard",
        "carrier": None, "tracking_number": None, "shipping_address": "{}", "estimated_delivery": 20819,
        "cancel_reason": None, "cancelled_by": None, "version": 2, "placed_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    change = Change(
        table="public.orders", op="u", key=json.dumps({"id": order}).encode(), row=json.dumps(row).encode(), partial=False,
        old_key=None, xid=1, order=1, lsn=1, previous_end=None, committed_us=0,
    )  # fmt: skip
    return Transaction(xid=number, end_lsn=1_000 + number, committed_us=time.time_ns() // 1000, changes=(change,))


def _floor(dsn: str) -> tuple[float, float]:
    """Seconds for the rows, and for all of it, of the query by itself."""
    with psycopg.connect(dsn, autocommit=True, options="-c jit=off -c synchronous_commit=off") as connection:
        connection.execute("create schema floor")
        began = time.perf_counter()
        connection.execute(
            SQL("create table floor.t as with affected as (select id from mirror.orders) {}").format(
                SQL(ORDER_LIST_ITEM.query)
            )
        )
        rows_s = time.perf_counter() - began
        connection.execute("alter table floor.t add primary key (id)")
        for index in ORDER_LIST_ITEM.indexes:
            connection.execute(SQL("create index on floor.t {}").format(SQL(index_of(index))))
        return rows_s, time.perf_counter() - began

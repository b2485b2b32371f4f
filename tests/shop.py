"""A shop's source and the analytics store that follows it: transactions in, and the store has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from cdc.catalog import read_tables
from cdc.shapes import read_shapes
from projectors.analytics.store import AnalyticsStore
from projectors.analytics.unpublished import Unpublished
from projectors.read_model import Declarations
from tests.histories import ALL, EndsFirst
from tests.projection import Projection
from tests.scripted import ScriptedLog, ScriptedSource
from tests.snapshots import ScriptedSnapshots

#: Five people, all bronze, and fourteen products.
STOCKED = """
    insert into users (id, email, first_name, last_name, display_name)
    select n, n || '@e.com', 'A', 'B', 'c' from generate_series(1, 5) n;
    insert into sellers (id, name) values (1, 'Mill'); insert into categories (id, name) values (1, 'Tools');
    insert into products (id, seller_id, category_id, sku, name, price, currency)
    select n, 1, 1, n, 'Product ' || n, 1, 'USD' from generate_series(1, 14) n
"""
ORDER = """
    insert into orders (id, number, user_id, status, currency, subtotal, tax, shipping, total, placed_at, shipping_method,
                        shipping_address, estimated_delivery, carrier, tracking_number, cancel_reason, cancelled_by)
    values (%(id)s, %(id)s, %(customer)s, %(status)s, 'USD', %(total)s, 0, 0, %(total)s, %(placed_at)s, 'standard',
            '{}', '2027-01-01', %(shipped)s, %(shipped)s, %(cancelled)s, %(cancelled)s)
    on conflict (id) do update
       set user_id = excluded.user_id, status = excluded.status, subtotal = excluded.subtotal, total = excluded.total,
           carrier = excluded.carrier, tracking_number = excluded.tracking_number, placed_at = excluded.placed_at,
           cancel_reason = excluded.cancel_reason, cancelled_by = excluded.cancelled_by
"""
LINE = """insert into order_items (order_id, product_id, sku, name, unit_price, quantity)
          values (%(id)s, %(product)s, 'S', 'As it was', %(price)s, %(quantity)s)"""


class Shop:
    """A source, stocked, and its store."""

    def __init__(
        self, dsn: str, directory: Path, declarations: Declarations, unpublished: Unpublished | None = None
    ) -> None:
        tables, shapes = read_tables(dsn, "readside"), read_shapes(dsn, "readside")
        self._log = ScriptedLog(tables)
        self._scripted = ScriptedSource(dsn, self._log)
        self.source: psycopg.Connection[Any] = self._scripted.connection
        path = directory / "live.duckdb"
        self.store = AnalyticsStore(
            path, tables, declarations, memory_limit="1GB", shapes=shapes, unpublished=unpublished
        )
        self._projection = Projection(self._log, self.store, ScriptedSnapshots(self._scripted), directory)
        with self.committing():
            self.source.execute(STOCKED)

    def close(self) -> None:
        """End the projector; the store is closed with it."""
        self._projection.kill()
        self._scripted.close()

    @contextmanager
    def committing(self) -> Iterator[None]:
        """One source transaction; when the block ends, the store has it."""
        with self.source.transaction():
            yield
        for transaction in self._scripted.flush():
            self._log.send(transaction)
        self._projection.advance(ALL, EndsFirst())

    def put(
        self,
        id: int,
        customer: int,
        status: str,
        total: str,
        placed_at: object,
        *lines: tuple[int, int, str],
    ) -> None:
        """Place an order, or correct it; ``lines``: product, quantity, price."""
        self.drop_lines(id)
        values = {
            "id": id,
            "customer": customer,
            "status": status,
            "total": total,
            "placed_at": placed_at,
            "shipped": "x" if status in ("shipped", "delivered") else None,
            "cancelled": "x" if status == "cancelled" else None,
        }
        self.source.execute(ORDER, values)
        for product, quantity, price in lines:
            self.source.execute(LINE, {"id": id, "product": product, "quantity": quantity, "price": price})

    def drop(self, id: int) -> None:
        """Delete an order, if there is one."""
        self.drop_lines(id)
        self.source.execute("delete from orders where id = %s", (id,))

    def drop_lines(self, id: int) -> None:
        """Delete its lines."""
        self.source.execute("delete from order_items where order_id = %s", (id,))

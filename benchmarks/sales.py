"""A shop's sales of some million order lines in an analytics store, and batches of changes to them, as Debezium tells them.

The mirror is filled inside DuckDB, three lines to an order, orders spread evenly over two years; the declared tables are
built from it as after a first snapshot. Every value follows from a row's number, so each run has the same rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from cdc.assembler import Transaction
from cdc.change import Change
from projectors.analytics.store import AnalyticsStore
from projectors.checkpoint import Checkpoint

CUSTOMERS, PRODUCTS, LINES_PER_ORDER = 200_000, 20_000, 3
SINCE, DAYS = datetime(2025, 1, 1, tzinfo=UTC), 730
_RECENT = 60_000  # orders that are still on their way
_TIERS = ("bronze", "silver", "gold", "platinum")
_WAY = ("pending", "paid", "shipped", "delivered")

_FILL = (
    """
    insert into mirror.users by name
    select n as id, 'user' || n || '@example.com' as email, 'Ada' as first_name, 'Byron ' || n as last_name,
           'ada' || n as display_name, {tiers}[1 + n % 4] as loyalty_tier, 'active' as status, 1 as version,
           $since::timestamptz as created_at, $since::timestamptz as updated_at
      from range(1, $customers + 1) r(n)
    """,
    """
    insert into mirror.products by name
    select n as id, 1 as seller_id, 1 as category_id, 'SKU-' || n as sku, 'Thing ' || n as name, '' as description,
           10 as price, 'USD' as currency, 1 as version, $since::timestamptz as created_at
      from range(1, $products + 1) r(n)
    """,
    """
    insert into mirror.orders by name
    select n as id, 'O-' || n as number, 1 + hash(n) % $customers as user_id,
           case when n > $orders - $recent then {way}[1 + n % 3]
                when n % 20 = 0 then 'cancelled' else 'delivered' end as status,
           'USD' as currency, 30 as subtotal, 2.4 as tax, 5 as shipping, 37.4 as total, 'standard' as shipping_method,
           '{{}}'::json as shipping_address, date '2027-01-01' as estimated_delivery, 1 as version,
           $since::timestamptz + n * to_microseconds($step) as placed_at,
           $since::timestamptz + n * to_microseconds($step) as updated_at
      from range(1, $orders + 1) r(n)
    """,
    """
    insert into mirror.order_items by name
    select n as id, 1 + (n - 1) // 3 as order_id,
           1 + floor({products} * pow((hash(n) % 1_000_003) / 1_000_003, 3))::bigint as product_id,
           'SKU' as sku, 'Thing' as name, 10 as unit_price, 1 as quantity, '[]'::json as discounts
      from range(1, $orders * 3 + 1) r(n)
    """,
)


@dataclass(slots=True)
class Sales:
    """One store of them, and what comes next."""

    store: AnalyticsStore
    orders: int
    _step_us: int = 0
    _placed: int = 0
    _batches: int = 0

    def fill(self) -> None:
        """Fill the mirror and build every declared table."""
        self._step_us = int(timedelta(days=DAYS) / timedelta(microseconds=1)) // self.orders
        self._placed = self.orders
        cursor = self.store.cursor()
        values: dict[str, Any] = {
            "since": SINCE.isoformat(), "customers": CUSTOMERS, "products": PRODUCTS, "orders": self.orders,
            "recent": _RECENT, "step": self._step_us,
        }  # fmt: skip
        for statement in _FILL:
            text = statement.format(tiers=list(_TIERS), way=list(_WAY), products=PRODUCTS)
            cursor.execute(text, {name: value for name, value in values.items() if f"${name}" in text})
        self.store.load([], partial(self._at, 0))

    def recent(self, changes: int) -> list[Transaction]:
        """A batch as life makes it: two in five changes are of new orders, the others of recent orders' ways."""
        random = Random(self._batches)
        made: list[list[Change]] = []
        for _ in range(changes // 10):
            self._placed += 1
            lines = range(self._placed * LINES_PER_ORDER - 2, self._placed * LINES_PER_ORDER + 1)
            made.append([self._order("c", self._placed, "pending"), *(self._line(n, random) for n in lines)])
        for number in random.sample(range(self._placed - _RECENT, self._placed), changes * 6 // 10):
            made.append([self._order("u", number, random.choice(_WAY[1:]))])
        return self._transactions(made)

    def uniform(self, changes: int) -> list[Transaction]:
        """A batch of changes to orders of any age."""
        random = Random(self._batches)
        numbers = random.sample(range(1, self._placed), changes)
        return self._transactions([[self._order("u", n, random.choice((*_WAY, "cancelled")))] for n in numbers])

    def apply(self, transactions: Sequence[Transaction]) -> None:
        """Apply a batch."""
        self.store.apply(transactions, self._at(transactions[-1].end_lsn))

    def _transactions(self, made: Iterable[Sequence[Change]]) -> list[Transaction]:
        self._batches += 1
        first = self._batches * 1_000_000
        return [
            Transaction(xid=first + n, end_lsn=first + n, committed_us=_now_us(), changes=changes)
            for n, changes in enumerate(made)
        ]

    def _at(self, end_lsn: int) -> Checkpoint:
        state = {"frontier": {}}
        return Checkpoint(
            phase="streaming", end_lsn=end_lsn, committed_us=_now_us(), changes=end_lsn, rate=0.0, state=state
        )

    def _order(self, op: Any, number: int, status: str) -> Change:
        at = (SINCE + timedelta(microseconds=number * self._step_us)).isoformat().replace("+00:00", "Z")
        row = {
            "id": number, "number": f"O-{number}", "user_id": 1 + number * 7919 % CUSTOMERS, "status": status,
            "currency": "USD", "subtotal": "30.00", "tax": "2.40", "shipping": "5.00", "total": "37.40",
            "shipping_method": "standard", "carrier": None, "tracking_number": None, "shipping_address": "{}",
            "estimated_delivery": 20819, "cancel_reason": None, "cancelled_by": None, "version": 2, "placed_at": at,
            "updated_at": at,
        }  # fmt: skip
        return _change("orders", op, row)

    def _line(self, number: int, random: Random) -> Change:
        product = 1 + int(PRODUCTS * random.random() ** 3)
        row = {
            "id": number, "order_id": 1 + (number - 1) // LINES_PER_ORDER, "product_id": product,
            "sku": "SKU", "name": "Thing", "image_url": None, "unit_price": "10.00", "quantity": 1, "discounts": "[]",
        }  # fmt: skip
        return _change("order_items", "c", row)


def _change(table: str, op: Any, row: dict[str, Any]) -> Change:
    key = json.dumps({"id": row["id"]}).encode()
    return Change(
        table=f"public.{table}", op=op, key=key, row=json.dumps(row).encode(), partial=False, old_key=None, xid=1, order=1,
        lsn=1, previous_end=None, committed_us=0,
    )  # fmt: skip


def _now_us() -> int:
    return int(datetime.now(UTC).timestamp() * 1_000_000)

"""The analytics store's tables, as orders are placed, cancelled and corrected."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.projectors.read_models.shop import ORDER, SHOP


def test_an_order_is_a_fact_with_its_customer_and_lines(analytics_story: Any) -> None:
    analytics_story.given(*SHOP)
    analytics_story.when(ORDER)
    assert analytics_story.then("select number, customer_name, status, total, item_count from orders") == [
        ("ORD-1", "Ada Lovelace", "pending", Decimal("26.60"), 1)
    ]
    assert analytics_story.then("select name, quantity, line_total, order_status from order_items") == [
        ("Saw", 2, Decimal("20.00"), "pending")
    ]
    assert analytics_story.then("select count(*) from customers") == [(3,)]


def test_a_cancelled_order_is_counted_and_earns_nothing(analytics_story: Any) -> None:
    analytics_story.given(*SHOP, ORDER)
    day = "select day::varchar, orders, cancelled, revenue, average_order_value from daily_orders"
    assert analytics_story.then(day) == [("2026-11-25", 1, 0, Decimal("26.60"), Decimal("26.60"))]
    analytics_story.when(
        "update orders set status = 'cancelled', cancel_reason = 'no', cancelled_by = 'me' where id = 1"
    )
    assert analytics_story.then(day) == [("2026-11-25", 1, 1, Decimal("0.00"), None)]
    assert analytics_story.then("select order_status from order_items") == [("cancelled",)]


def test_a_new_name_or_tier_stands_in_earlier_orders(analytics_story: Any) -> None:
    analytics_story.given(*SHOP, ORDER)
    analytics_story.when("update users set last_name = 'King', loyalty_tier = 'gold' where id = 1")
    assert analytics_story.then("select customer_name, loyalty_tier from orders") == [("Ada King", "gold")]


def test_an_order_dated_otherwise_moves_to_its_day(analytics_story: Any) -> None:
    analytics_story.given(*SHOP, ORDER)
    analytics_story.when("update orders set placed_at = '2026-11-24T23:59:59Z' where id = 1")
    assert analytics_story.then("select day::varchar, orders from daily_orders") == [("2026-11-24", 1)]

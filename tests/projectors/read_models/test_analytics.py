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


CHANGES = "select order_id, previous_status, status from order_status_changes order by end_lsn, place"


def test_every_change_of_a_status_is_told_once(analytics_story: Any) -> None:
    analytics_story.given(*SHOP, ORDER, "update orders set status = 'paid', version = 2 where id = 1")
    analytics_story.when(
        "update orders set shipping_method = 'express', version = 3 where id = 1",
        "update orders set status = 'shipped', carrier = 'DHL', tracking_number = 'T1', version = 4 where id = 1",
        "update orders set status = 'delivered', version = 5 where id = 1",
    )
    assert analytics_story.then(CHANGES) == [
        (1, None, "pending"),
        (1, "pending", "paid"),
        (1, "paid", "shipped"),
        (1, "shipped", "delivered"),
    ]
    times = analytics_story.then("select epoch_us(changed_at) from order_status_changes order by end_lsn, place")
    assert times[1] < times[2] == times[3]  # the last two of one commit


def test_an_order_deleted_and_placed_again_begins_anew(analytics_story: Any) -> None:
    analytics_story.given(*SHOP, ORDER)
    analytics_story.when("delete from payments", "delete from order_items", "delete from orders", ORDER)
    assert analytics_story.then(CHANGES) == [(1, None, "pending"), (1, None, "pending")]


def test_an_order_under_another_key_goes_on_under_that(analytics_story: Any) -> None:
    analytics_story.given(*SHOP, ORDER, "delete from payments", "delete from order_items")
    analytics_story.when("update orders set id = 7 where id = 1", "update orders set status = 'paid' where id = 7")
    assert analytics_story.then(CHANGES) == [(1, None, "pending"), (7, None, "pending"), (7, "pending", "paid")]


def test_what_a_later_snapshot_finds_is_a_change(analytics: Any, analytics_story: Any) -> None:
    analytics_story.given(*SHOP, ORDER)
    analytics.miss("update orders set status = 'paid', version = 2 where id = 1")
    analytics.snapshots.take()
    analytics.project_until_done()
    assert analytics_story.then(CHANGES) == [(1, None, "pending"), (1, "pending", "paid")]

"""The store's own statements on orders in a range of time: for any orders, whatever becomes of them, and any range, they
give what plain SQL gives on the source."""

from __future__ import annotations

import json
import time as clock
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from projectors.analytics.answering import answer
from projectors.analytics.periods import DAY, HOUR, MONTH, QUARTER, cut
from projectors.analytics.sql import Refused
from projectors.analytics.statements import STATEMENTS
from projectors.read_model import Declarations
from projectors.read_models import order_summary
from projectors.read_models.analytics_order_items import ORDER_ITEMS
from projectors.read_models.analytics_orders import ORDERS
from projectors.read_models.analytics_products import PRODUCTS
from projectors.read_models.hourly_orders import HOURLY_ORDERS, ORDERS_BY_HOUR
from projectors.rollup import Rollup
from queries.analytics import Rows
from queries.summary import hourly_of, summary_of
from tests import sold
from tests.shop import Shop
from tests.sold import Range

TIERS = ("bronze", "silver", "gold")
STATUSES = ("pending", "paid", "shipped", "delivered", "cancelled")
#: Quarters, months and days begin and end around these.
DAYS = [
    *(date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 10)),
    *(date(2026, 1, 11), date(2026, 1, 12), date(2026, 1, 20), date(2026, 1, 21), date(2026, 1, 31), date(2026, 2, 1)),
    *(date(2026, 3, 30), date(2026, 3, 31), date(2026, 4, 1), date(2026, 7, 1), date(2026, 11, 26)),
]
OFFSETS = [timedelta(), timedelta(), timedelta(microseconds=-1), timedelta(microseconds=1), timedelta(hours=1)]
OFFSETS += [timedelta(hours=9, minutes=13), timedelta(hours=9, minutes=59, seconds=59), timedelta(hours=23, minutes=30)]


@dataclass(frozen=True, slots=True)
class Order:
    """An order as somebody placed it, or as it was corrected to be."""

    customer: int
    status: str
    cents: int
    placed_at: datetime
    lines: Sequence[tuple[int, int, int]]  #: product, quantity, cents


moments = st.builds(
    lambda day, offset: datetime.combine(day, time.min, UTC) + offset, st.sampled_from(DAYS), st.sampled_from(OFFSETS)
)
cents = st.one_of(st.sampled_from([100, 1_001, 1_002]), st.integers(100, 100_000))
lines = st.lists(st.tuples(st.integers(1, 14), st.integers(1, 3), cents), max_size=5)
orders = st.builds(Order, st.integers(1, 5), st.sampled_from(STATUSES), cents, moments, lines)
bounds = st.one_of(st.none(), moments)
ranges = st.tuples(bounds, bounds).map(lambda two: two if None in two else tuple(sorted(two)))
#: What becomes of orders, by number: another order, or none.
corrections = st.dictionaries(st.integers(1, 8), st.one_of(st.none(), orders), max_size=5)
tiers = st.dictionaries(st.integers(1, 5), st.sampled_from(TIERS), max_size=3)


def put(shop: Shop, id: int, order: Order | None) -> None:
    if order is None:
        shop.drop(id)
        return
    lines = [(product, quantity, money(price)) for product, quantity, price in order.lines]
    shop.put(id, order.customer, order.status, money(order.cents), order.placed_at, *lines)


def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def check(shop: Shop, within: Range) -> None:
    """Both statements, against the source."""
    asked = {"start": within[0] and within[0].isoformat(), "end": within[1] and within[1].isoformat()}
    assert summary_of(rows(shop, "orders_summary", asked)) == sold.summary(shop.source, within), within
    by_hour = hourly_of(rows(shop, "orders_hourly", asked))["by_hour"]
    assert json.loads(bytes(by_hour)) == sold.hours(shop.source, within), within  # pyright: ignore[reportArgumentType]


def rows(shop: Shop, name: str, asked: Mapping[str, Any]) -> Rows:
    return msgspec.json.decode(answer(shop.store, STATEMENTS[name], asked, timeout_s=20).body, type=Rows)


@pytest.fixture
def shop(shop_database: str, tmp_path: Path) -> Iterator[Shop]:
    # Only what the statements read: the rest would double the time.
    models = (ORDERS, ORDER_ITEMS, PRODUCTS, HOURLY_ORDERS, order_summary.CUSTOMER_DAYS)
    rollups = [declared for declared in vars(order_summary).values() if isinstance(declared, Rollup)]
    made = Shop(shop_database, tmp_path, Declarations(read_models=models, rollups=(*rollups, ORDERS_BY_HOUR)))
    yield made
    made.close()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_they_give_what_the_source_gives_for_any_range(shop: Shop) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(orders, max_size=8), corrections, tiers, st.lists(ranges, min_size=2, max_size=5))
    @example([], {}, {}, [(None, None), (at("2026-01-01"), at("2026-01-01"))])
    def try_it(
        placed: list[Order], corrected: dict[int, Order | None], tiers: dict[int, str], asked: list[Range]
    ) -> None:
        with shop.committing():
            shop.source.execute("delete from order_items; delete from orders; update users set loyalty_tier = 'bronze'")
            for id, order in enumerate(placed, 1):
                put(shop, id, order)
        for within in asked:
            check(shop, within)
        with shop.committing():
            shop.source.execute("update products set name = 'Named ' || (random() * 1e9)::int where id = 1")
            for id, tier in tiers.items():
                shop.source.execute("update users set loyalty_tier = %s where id = %s", (tier, id))
            for id, order in corrected.items():
                put(shop, id, order)
        for within in asked:
            check(shop, within)

    try_it()


@settings(max_examples=500)
@given(bounds, bounds)
def test_a_range_is_cut_into_pieces_without_a_gap(since: datetime | None, until: datetime | None) -> None:
    pieces = list(cut(since, until, (QUARTER, MONTH, DAY, HOUR)))
    if since is not None and until is not None and since >= until:
        assert pieces == []
        return
    assert (pieces[0].since, pieces[-1].until) == (since, until)
    assert all(one.until == next.since for one, next in pairwise(pieces))
    for piece in pieces:
        if piece.of is not None:
            assert all(bound is None or piece.of.start_of(bound) == bound for bound in (piece.since, piece.until))
    for period in (QUARTER, MONTH, DAY, HOUR, None):
        assert len([piece for piece in pieces if piece.of == period]) <= (1 if period is QUARTER else 2)


def test_the_calendars_ends_are_ranges_too(shop: Shop) -> None:
    with shop.committing():
        shop.put(1, 1, "paid", "1.00", at("2026-01-01"), (1, 1, "1.00"))
    for within in (
        (at("0001-01-01"), at("9999-12-31T23:59:59.999999")),
        (at("9999-12-31T23:59:59"), None),
        (None, at("0001-01-01")),
    ):
        check(shop, within)


@pytest.mark.parametrize("wrong", [{"start": "yesterday"}, {"end": 3}, {"from": "2026-01-01"}])
def test_a_wrong_parameter_is_refused(shop: Shop, wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        rows(shop, "orders_summary", wrong)
    assert refused.value.status == 400


def test_a_time_without_an_offset_is_in_utc_wherever_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    clock.tzset()
    try:
        for statement in STATEMENTS.values():
            assert statement({"start": "2026-01-01T00:00:00"}) == statement({"start": "2026-01-01T00:00:00Z"})
    finally:
        monkeypatch.undo()
        clock.tzset()

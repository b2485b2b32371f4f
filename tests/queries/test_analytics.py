"""The analytics routes on the projector's own endpoint, before a real DuckDB that follows a real source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from config.settings import Settings
from projectors.checkpoint import lsn_text
from queries.store import rfc3339
from tests.queries.harness import Api
from tests.shop import Shop


def as_of(shop: Shop) -> str:
    at = shop.store.checkpoint.committed_at
    assert at is not None
    return rfc3339(at)


def test_the_summary_counts_everything_and_sums_what_was_not_cancelled(api: Api, orders: Shop) -> None:
    answer = api.get("/analytics/orders/summary", start="2026-01-01", end="2026-01-03")
    assert answer.json() == {
        "start": "2026-01-01T00:00:00.000000Z",
        "end": "2026-01-03T00:00:00.000000Z",
        "currency": "EUR",
        "total_orders": 3,
        "total_revenue": "20.03",
        "average_order_value": "10.02",  # 10.015, rounded half up: a float would say 10.01
        "orders_by_status": {"cancelled": 1, "paid": 1, "pending": 1},
        "top_products": [
            {"product_id": "7", "name": "New name", "quantity": 4, "revenue": "20.00"},
            {"product_id": "10", "name": "Product 10", "quantity": 1, "revenue": "20.00"},
        ],
        "customer_segments": {
            "gold": {"customers": 1, "orders": 2, "revenue": "10.01"},  # by today's tier
            "bronze": {"customers": 1, "orders": 1, "revenue": "10.02"},
        },
        "by_day": [
            {"day": "2026-01-01", "orders": 1, "cancelled": 0, "revenue": "10.01"},
            {"day": "2026-01-02", "orders": 2, "cancelled": 1, "revenue": "10.02"},
        ],
    }
    assert answer.headers["Readside-As-Of"] == as_of(orders)


def test_the_summary_of_nothing_has_no_average(api: Api, shop: Shop) -> None:
    assert api.get("/analytics/orders/summary").json() == {
        "start": None,
        "end": None,
        "currency": "EUR",
        "total_orders": 0,
        "total_revenue": "0.00",
        "average_order_value": None,
        "orders_by_status": {},
        "top_products": [],
        "customer_segments": {},
        "by_day": [],
    }


def test_a_range_is_of_times_too_its_end_excluded(api: Api, orders: Shop) -> None:
    for start, end, orders in (
        ("2026-01-02T00:00:00Z", "2026-01-02T01:00:00Z", 1),
        ("2026-01-02T02:00:00+02:00", "2026-01-02T01:00:00.000001", 2),
        ("2026-01-01", "2026-01-01", 0),
        ("2026-01-02", None, 3),
        (None, "2026-01-02", 1),
    ):
        range_ = {name: bound for name, bound in (("start", start), ("end", end)) if bound}
        assert api.get("/analytics/orders/summary", **range_).json()["total_orders"] == orders, range_


def test_a_wrong_range_is_refused_by_name(api: Api) -> None:
    for wrong, name in (
        ({"start": "yesterday"}, "start"),
        ({"end": "2026-13-01"}, "end"),
        ({"end": "0001-01-01T00:00:00+14:00"}, "end"),
        ({"start": "2026-01-02", "end": "2026-01-01"}, "end"),
        ({"start": "'; drop table orders"}, "start"),
    ):
        answer = api.get("/analytics/orders/summary", **wrong)
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, name), wrong


def test_what_the_analytics_store_refuses_is_passed_on(api: Api, shop: Shop) -> None:
    for accept in ("application/json", "text/csv"):
        answer = api.http.post("/sql", json={"sql": "selec 1"}, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
        assert answer.json()["type"] == "/problems/invalid-statement"


def test_a_body_that_is_wrong_is_refused_before_it_goes_anywhere(api: Api, settings: Settings) -> None:
    def status(content: str | Iterator[bytes]) -> tuple[int, str]:
        answer = api.http.post("/sql", content=content, headers={"Content-Type": "application/json"})
        return answer.status_code, answer.json()["type"]

    assert status("{") == (400, "/problems/not-json")
    for unsendable in (r'"\ud800": 1', r'"a": ["\ud800"]'):
        assert status(f'{{"sql": "select 1", "parameters": {{{unsendable}}}}}') == (422, "/problems/invalid"), (
            unsendable
        )
    assert status("{}") == status('{"sql": 1}') == status('{"sql": "", "x": 1}') == (422, "/problems/invalid")
    assert api.http.post("/sql", json={"sql": 1}).json()["errors"][0]["pointer"] == "/sql"
    large = json.dumps({"sql": "x" * settings.body_limit_bytes})
    assert status(large) == status(iter([large.encode()])) == (413, "/problems/too-large")


def test_the_token_goes_with_the_question(api: Api, shop: Shop) -> None:
    here = shop.store.checkpoint.end_lsn
    later = {"Readside-Token": f"v1.5.{lsn_text(here + 1)}", "Prefer": "wait=0.5"}
    stale = api.get("/analytics/orders/summary", later)
    assert (stale.status_code, stale.json()["type"]) == (503, "/problems/stale-read")
    assert stale.json()["expected"] == {"lsn": lsn_text(here + 1)}
    assert stale.json()["actual"] == {"lsn": lsn_text(here), "as_of": as_of(shop)}
    assert (stale.headers["Retry-After"], stale.headers["Readside-As-Of"]) == ("1", as_of(shop))
    reached = {"Readside-Token": f"v1.5.{lsn_text(here)}"}
    assert api.get("/analytics/orders/summary", reached).status_code == 200
    taken = api.get("/analytics/orders/summary", later | {"Prefer": "wait=0.5, allow-stale"})
    assert (taken.status_code, taken.headers["Readside-Stale"]) == (200, "true")


def test_an_analytics_store_that_is_down_is_named(api: Api) -> None:
    answer = api.get("/analytics/orders/summary")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/analytics-unavailable")
    assert api.get("/orders").status_code == 200


def test_hours_hold_what_was_placed_in_them(api: Api, orders: Shop) -> None:
    answer = api.get("/analytics/orders/hourly", start="2026-01-01", end="2026-01-03")
    assert answer.json() == {
        "start": "2026-01-01T00:00:00.000000Z",
        "end": "2026-01-03T00:00:00.000000Z",
        "currency": "EUR",
        "by_hour": [
            hour("2026-01-01T23:00:00Z", 1, 0, "10.01", "10.01"),
            hour("2026-01-02T00:00:00Z", 1, 1, "0.00", None),
            hour("2026-01-02T01:00:00Z", 1, 0, "10.02", "10.02"),
        ],
    }
    assert api.get("/analytics/orders/hourly", start="2030-01-01").json()["by_hour"] == []


def hour(at: str, orders: int, cancelled: int, revenue: str, average: str | None) -> dict[str, Any]:
    return {
        "hour": at,
        "orders": orders,
        "cancelled": cancelled,
        "revenue": revenue,
        "average_order_value": average,
    }

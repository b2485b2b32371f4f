"""The analytics routes on a real DuckDB, behind a thin stand-in for the projector's SQL endpoint."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import duckdb
import pytest

from config.settings import Settings
from tests.queries.harness import Api

TABLES = """
    set timezone = 'America/New_York';  -- days are in UTC whatever the session's zone
    create table customers (id bigint, full_name varchar, email varchar, loyalty_tier varchar, status varchar,
        created_at timestamptz);
    create table orders (id bigint, number varchar, customer_id bigint, customer_name varchar, customer_email varchar,
        loyalty_tier varchar, status varchar, currency varchar, subtotal decimal(12, 2), tax decimal(12, 2),
        shipping decimal(12, 2), total decimal(12, 2), item_count integer, placed_at timestamptz, updated_at timestamptz);
    create table order_items (id bigint, order_id bigint, product_id bigint, sku varchar, name varchar,
        unit_price decimal(12, 2), quantity integer, line_total decimal(14, 2), order_status varchar,
        customer_id bigint, placed_at timestamptz);
"""
ROWS = """
    insert into customers (id, loyalty_tier) values (1, 'gold'), (2, 'gold'), (3, 'none'), (4, 'silver');
    insert into orders (id, customer_id, loyalty_tier, status, total, placed_at) values
        (1, 1, 'none', 'paid',       10.01, '2026-01-01T23:30:00Z'),
        (2, 1, 'gold', 'cancelled',  99.00, '2026-01-02T00:00:00Z'),
        (3, 3, 'none', 'pending',    10.02, '2026-01-02T01:00:00Z'),
        (4, 2, 'gold', 'delivered', 500.00, '2026-01-03T00:00:00Z');
    insert into order_items (id, order_id, product_id, sku, name, quantity, line_total, order_status, placed_at) values
        (1, 1, 7,  'a', 'Old name', 2,  10.00, 'paid',      '2026-01-01T23:30:00Z'),
        (2, 2, 8,  'b', 'Never',    2,  99.00, 'cancelled', '2026-01-02T00:00:00Z'),
        (3, 3, 7,  'a', 'New name', 2,  10.00, 'pending',   '2026-01-02T01:00:00Z'),
        (4, 3, 10, 'c', 'Tied',     1,  20.00, 'pending',   '2026-01-02T01:00:00Z'),
        (5, 4, 9,  'd', 'Later',    1, 500.00, 'delivered', '2026-01-03T00:00:00Z');
"""
AS_OF = "2026-01-05T00:00:00.000000Z"


class Endpoint(BaseHTTPRequestHandler):
    """`POST /sql` as the analytics projector answers it; its store stands at 0/100 for ever."""

    database: duckdb.DuckDBPyConnection

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if int(request.get("after_lsn", "0/0").split("/")[1], 16) > 0x100:
            self.answer(503, {"type": "/problems/stale-read", "actual": "0/100", "as_of": AS_OF})
            return
        try:
            with self.database.cursor() as cursor:
                found = cursor.execute(request["sql"], request["parameters"] or None)
                columns = [column[0] for column in found.description or []]
                self.rows(columns, found.fetchall())
        except duckdb.Error as error:
            self.answer(400, {"type": "/problems/sql", "status": 400, "detail": str(error).split("\n")[0]})

    def rows(self, columns: list[str], rows: list[Any]) -> None:
        """Answer with a result."""
        self.answer(200, {"columns": columns, "rows": rows, "row_count": len(rows), "truncated": False, "as_of": AS_OF})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        """Answer with JSON."""
        content = json.dumps(body, default=str).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 200 else "application/problem+json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Readside-As-Of", AS_OF)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on the tests' standard error."""


@pytest.fixture
def analytics(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """The analytics store's tables, empty, behind the endpoint."""
    with duckdb.connect() as database:
        database.execute(TABLES)
        host, _, port = settings.analytics_address.rpartition(":")
        handler = type("Bound", (Endpoint,), {"database": database})
        with ThreadingHTTPServer((host, int(port)), handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield database
            server.shutdown()
            thread.join()


def test_the_summary_counts_everything_and_sums_what_was_not_cancelled(
    api: Api, analytics: duckdb.DuckDBPyConnection
) -> None:
    analytics.execute(ROWS)
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
            {"product_id": "10", "name": "Tied", "quantity": 1, "revenue": "20.00"},
        ],
        "customer_segments": {
            "gold": {"customers": 1, "orders": 2, "revenue": "10.01"},  # by today's tier
            "none": {"customers": 1, "orders": 1, "revenue": "10.02"},
        },
        "by_day": [
            {"day": "2026-01-01", "orders": 1, "cancelled": 0, "revenue": "10.01"},
            {"day": "2026-01-02", "orders": 2, "cancelled": 1, "revenue": "10.02"},
        ],
    }
    assert answer.headers["Readside-As-Of"] == AS_OF


def test_the_summary_of_nothing_has_no_average(api: Api, analytics: duckdb.DuckDBPyConnection) -> None:
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


def test_a_range_is_of_times_too_its_end_excluded(api: Api, analytics: duckdb.DuckDBPyConnection) -> None:
    analytics.execute(ROWS)
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


def test_what_the_analytics_store_refuses_is_passed_on(api: Api, analytics: duckdb.DuckDBPyConnection) -> None:
    for accept in ("application/json", "text/csv"):
        answer = api.http.post("/sql", json={"sql": "selec 1"}, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
        assert answer.json()["type"] == "/problems/sql"


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


def test_the_token_goes_with_the_question(api: Api, analytics: duckdb.DuckDBPyConnection) -> None:
    later = {"Readside-Token": "v1.5.0/101", "Prefer": "wait=0.5"}
    stale = api.get("/analytics/orders/summary", later)
    assert (stale.status_code, stale.json()["type"]) == (503, "/problems/stale-read")
    assert stale.json()["expected"] == {"lsn": "0/101"}
    assert stale.json()["actual"] == {"lsn": "0/100", "as_of": AS_OF}
    assert (stale.headers["Retry-After"], stale.headers["Readside-As-Of"]) == ("1", AS_OF)
    assert api.get("/analytics/orders/summary", {"Readside-Token": "v1.5.0/100"}).status_code == 200
    taken = api.get("/analytics/orders/summary", later | {"Prefer": "wait=0.5, allow-stale"})
    assert (taken.status_code, taken.headers["Readside-Stale"]) == (200, "true")


def test_an_analytics_store_that_is_down_is_named(api: Api) -> None:
    answer = api.get("/analytics/orders/summary")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/analytics-unavailable")
    assert api.get("/orders").status_code == 200


def test_hours_hold_what_was_placed_in_them(api: Api, analytics: duckdb.DuckDBPyConnection) -> None:
    analytics.execute(ROWS)
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

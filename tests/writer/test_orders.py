"""Placing orders, and their life afterwards."""

from __future__ import annotations

import pytest

from tests.writer.harness import ADDRESS, Shop

SHIPMENT = {"carrier": "UPS", "tracking_number": "1Z999"}
CANCELLATION = {"reason": "ordered twice", "requested_by": "customer"}
STATUSES = ("pending", "paid", "shipped", "delivered", "cancelled")


def test_an_order_takes_prices_and_reserves_stock(shop: Shop) -> None:
    a, b = shop.product("A", price="12.50", stock=5), shop.product("B", price="3.33", stock=1)
    placed = shop.does("POST", "/orders", shop.order(shop.user(), (a, 2), (b, 1), (a, 1)))
    year = shop.rows("select extract(year from placed_at at time zone 'UTC')::text from orders")[0][0]
    assert placed == {
        "id": "1",
        "number": f"ORD-{year}-000001",
        "status": "pending",
        "subtotal": "40.83",
        "tax": "3.27",
        "shipping": "5.00",
        "total": "49.10",
        "currency": "USD",
        "version": 1,
    }
    assert shop.rows("select sku, unit_price::text, quantity from order_items order by id") == [
        ("A", "12.50", 2),
        ("B", "3.33", 1),
        ("A", "12.50", 1),
    ]
    assert shop.rows("select on_hand, reserved from stock order by product_id") == [(5, 3), (1, 1)]
    assert shop.rows("select method, last_four, status, amount::text from payments") == [
        ("card", "4242", "pending", "49.10")
    ]


def test_a_bare_payment_method_is_enough(shop: Shop) -> None:
    shop.does("POST", "/orders", shop.order(shop.user(), (shop.product(), 1), payment_method="invoice"))
    assert shop.rows("select method, last_four from payments") == [("invoice", None)]


@pytest.mark.parametrize(
    ("method", "price", "shipping", "days"),
    [
        ("standard", "99.99", "5.00", 5),
        ("standard", "100.00", "0.00", 5),
        ("express", "100.00", "15.00", 2),
        ("overnight", "1.00", "30.00", 1),
    ],
)
def test_shipping_is_by_method(shop: Shop, method: str, price: str, shipping: str, days: int) -> None:
    body = shop.order(shop.user(), (shop.product(price=price), 1), shipping_method=method)
    assert shop.does("POST", "/orders", body)["shipping"] == shipping
    assert shop.rows("select estimated_delivery - (placed_at at time zone 'UTC')::date from orders") == [(days,)]


def test_an_order_of_the_unknown_is_refused(shop: Shop) -> None:
    user, product = shop.user(), shop.product()
    for customer in ("99", "x", "-1"):
        shop.refuses(404, "not-found", "POST", "/orders", shop.order(customer, (product, 1)))
    for unknown in ("99", "x", "9" * 19):
        shop.refuses(404, "not-found", "POST", "/orders", shop.order(user, (product, 1), (unknown, 1)))


def test_a_suspended_customer_is_not_eligible(shop: Shop) -> None:
    user, product = shop.user(), shop.product()
    shop.does("POST", f"/users/{user}/suspend")
    shop.refuses(403, "not-eligible", "POST", "/orders", shop.order(user, (product, 1)))
    shop.does("POST", f"/users/{user}/reinstate")
    shop.does("POST", "/orders", shop.order(user, (product, 1)))


def test_a_shortage_is_named(shop: Shop) -> None:
    user, a, b = shop.user(), shop.product("A", stock=2), shop.product("B", stock=5)
    refused = shop.refuses(409, "insufficient-inventory", "POST", "/orders", shop.order(user, (a, 2), (b, 5), (a, 1)))
    assert refused["shortages"] == [{"product_id": a, "asked": 3, "available": 2}]


def test_an_order_too_small_or_too_large_is_refused(shop: Shop) -> None:
    user, penny, palace = shop.user(), shop.product("A", price="0.99"), shop.product("B", price="9999999999.99")
    shop.refuses(422, "subtotal-too-low", "POST", "/orders", shop.order(user, (penny, 1)))
    shop.refuses(422, "invalid", "POST", "/orders", shop.order(user, (palace, 10)), at="/items")


def test_a_wrong_order_is_refused(shop: Shop) -> None:
    right = shop.order(shop.user(), (shop.product(), 1))
    line = right["items"][0]
    for field, value, at in (
        ("items", [], "/items"),
        ("items", None, "/items"),
        ("items", [line] * 101, "/items"),
        ("items", [{**line, "quantity": 0}], "/items/0/quantity"),
        ("items", [{**line, "quantity": -1}], "/items/0/quantity"),
        ("items", [line, {**line, "quantity": "1"}], "/items/1/quantity"),
        ("items", [{**line, "quantity": 10_001}], "/items/0/quantity"),
        ("items", [{"quantity": 1}], "/items/0/product_id"),
        ("items", [{**line, "unit_price": "0.01"}], "/items/0/unit_price"),
        ("customer_id", 1, "/customer_id"),
        ("shipping_address", {}, "/shipping_address"),
        ("shipping_address", "London", "/shipping_address"),
        ("shipping_address", {"city": 7}, "/shipping_address/city"),
        ("shipping_address", {"city": "\x00"}, "/shipping_address/city"),
        ("shipping_address", {"\x00": "London"}, "/shipping_address"),
        ("shipping_address", {f"line{n}": "x" for n in range(21)}, "/shipping_address"),
        ("shipping_method", "pigeon", "/shipping_method"),
        ("payment_method", "", "/payment_method/method"),
        ("payment_method", {"method": "card", "last_four": "42"}, "/payment_method/last_four"),
        ("status", "paid", "/status"),
    ):
        shop.refuses(422, "invalid", "POST", "/orders", {**right, field: value}, at=at)
    for field in right:
        shop.refuses(422, "invalid", "POST", "/orders", {k: v for k, v in right.items() if k != field}, at=f"/{field}")


def test_paying_captures_the_payment(shop: Shop) -> None:
    id = shop.placed()
    paid = shop.does("POST", f"/orders/{id}/pay")
    assert (paid["status"], paid["version"]) == ("paid", 2)
    assert shop.rows(
        "select p.status, t.kind, t.amount = p.amount from payments p join payment_transactions t on true"
    ) == [("captured", "capture", True)]


def test_shipping_takes_the_goods_out_of_stock(shop: Shop) -> None:
    id = shop.placed("paid")
    assert shop.rows("select on_hand, reserved from stock") == [(10, 2)]
    assert shop.does("POST", f"/orders/{id}/ship", SHIPMENT)["status"] == "shipped"
    assert shop.rows("select on_hand, reserved from stock") == [(8, 0)]
    assert shop.rows("select carrier, tracking_number, version from orders") == [("UPS", "1Z999", 3)]


def test_delivering_ends_the_way(shop: Shop) -> None:
    id = shop.placed("shipped")
    delivered = shop.does("POST", f"/orders/{id}/deliver")
    assert (delivered["status"], delivered["version"]) == ("delivered", 4)


def test_cancelling_gives_the_stock_back(shop: Shop) -> None:
    id = shop.placed()
    assert shop.does("POST", f"/orders/{id}/cancel", CANCELLATION)["status"] == "cancelled"
    assert shop.rows("select on_hand, reserved from stock") == [(10, 0)]
    assert shop.rows("select cancel_reason, cancelled_by from orders") == [("ordered twice", "customer")]
    assert shop.rows("select status from payments") == [("voided",)]
    assert shop.rows("select count(*) from payment_transactions") == [(0,)]


def test_an_address_changes_until_shipping(shop: Shop) -> None:
    id = shop.placed("paid")
    assert shop.does("PUT", f"/orders/{id}/shipping-address", {"city": "Paris", "version": 2})["version"] == 3
    assert shop.rows("select shipping_address, status from orders") == [({"city": "Paris"}, "paid")]


@pytest.mark.parametrize("status", STATUSES)
def test_a_step_from_the_wrong_status_is_refused(shop: Shop, status: str) -> None:
    id = shop.placed(status)
    version = shop.rows("select version from orders")[0][0]
    for method, route, body, allowed in (
        ("POST", "pay", None, ("pending",)),
        ("POST", "ship", SHIPMENT, ("paid",)),
        ("POST", "deliver", None, ("shipped",)),
        ("POST", "cancel", CANCELLATION, ("pending",)),
        ("PUT", "shipping-address", {**ADDRESS, "version": version}, ("pending", "paid")),
    ):
        if status not in allowed:
            refused = shop.refuses(409, "wrong-status", method, f"/orders/{id}/{route}", body)
            assert refused["actual"] == status


def test_a_wrong_step_is_refused(shop: Shop) -> None:
    id = shop.placed()
    steps = (
        ("POST", "pay", None),
        ("POST", "ship", SHIPMENT),
        ("POST", "deliver", None),
        ("POST", "cancel", CANCELLATION),
        ("PUT", "shipping-address", {**ADDRESS, "version": 1}),
    )
    for method, route, body in steps:
        shop.refuses(404, "not-found", method, f"/orders/99/{route}", body)
        shop.refuses(412, "precondition-failed", method, f"/orders/{id}/{route}", body, if_match='"2"')
        if body and route != "shipping-address":
            for field in body:
                shop.refuses(422, "invalid", method, f"/orders/{id}/{route}", {**body, field: ""}, at=f"/{field}")
    path = f"/orders/{id}/shipping-address"
    shop.refuses(409, "version-conflict", "PUT", path, {**ADDRESS, "version": 2})
    shop.refuses(422, "invalid", "PUT", path, ADDRESS, at="/version")
    shop.refuses(422, "invalid", "PUT", path, {"version": 1}, at="")
    shop.refuses(422, "invalid", "PUT", path, {"city": ["Paris"], "version": 1}, at="/city")

"""Sellers, categories, products, prices, stock and related products."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.writer.harness import Shop


def offer(shop: Shop, **fields: object) -> dict[str, Any]:
    """A right body of POST /products, but for the fields given."""
    seller = shop.does("POST", "/sellers", {"name": "Analytical Engines"})["id"]
    category = shop.does("POST", "/categories", {"name": "Calculators"})["id"]
    return {"seller_id": seller, "category_id": category, "sku": "B-1", "name": "B", "price": "1.00", **fields}


def test_a_product_is_offered_with_stock(shop: Shop) -> None:
    body = offer(shop, price="12.5", stock=3, image_url="/b.png")
    assert shop.does("POST", "/products", body) == {"id": "1", "version": 1, "price": "12.50", "currency": "USD"}
    assert shop.rows("select on_hand, reserved, version from stock") == [(3, 0, 1)]


def test_a_wrong_offer_is_refused(shop: Shop) -> None:
    shop.product("AE-1")
    right = offer(shop)
    shop.refuses(409, "taken", "POST", "/products", {**right, "sku": "AE-1"}, at="/sku")
    for field in ("seller_id", "category_id"):
        for unknown in ("99", "x"):
            shop.refuses(404, "not-found", "POST", "/products", {**right, field: unknown})
        shop.refuses(422, "invalid", "POST", "/products", {**right, field: 1}, at=f"/{field}")
    for price in (12.5, 12, "0", "0.00", "-1", "1.005", "1e3", "NaN", "", "12,50", " 1", "99999999999", None):
        shop.refuses(422, "invalid", "POST", "/products", {**right, "price": price}, at="/price")
    for field, value in (("sku", ""), ("sku", "x" * 65), ("name", "x" * 201), ("stock", -1), ("stock", 1.5)):
        shop.refuses(422, "invalid", "POST", "/products", {**right, field: value}, at=f"/{field}")
    shop.refuses(422, "invalid", "POST", "/products", {**right, "currency": "EUR"}, at="/currency")


def test_a_wrong_seller_or_category_is_refused(shop: Shop) -> None:
    for path in ("/sellers", "/categories"):
        for body in ({}, {"name": ""}, {"name": "x" * 201}, {"name": "a\x00"}, {"name": "x", "id": "1"}, "name", None):
            shop.refuses(422, "invalid", "POST", path, body)


def test_a_price_change_is_recorded(shop: Shop) -> None:
    id = shop.product(price="12.50")
    changed = shop.does("PATCH", f"/products/{id}/price", {"price": "13.00", "version": 1})
    assert changed == {"id": id, "version": 2, "price": "13.00", "currency": "USD"}
    assert shop.rows("select old_price, new_price from price_changes") == [(Decimal("12.50"), Decimal("13.00"))]


def test_the_same_price_again_changes_nothing(shop: Shop) -> None:
    id = shop.product(price="12.50")
    before = shop.everything()
    assert shop.does("PATCH", f"/products/{id}/price", {"price": "12.50", "version": 1})["version"] == 1
    assert shop.everything() == before


def test_a_wrong_price_change_is_refused(shop: Shop) -> None:
    path = f"/products/{shop.product()}/price"
    shop.refuses(409, "version-conflict", "PATCH", path, {"price": "13.00", "version": 2})
    shop.refuses(412, "precondition-failed", "PATCH", path, {"price": "13.00", "version": 1}, if_match='"7"')
    shop.refuses(404, "not-found", "PATCH", "/products/99/price", {"price": "13.00", "version": 1})
    shop.refuses(422, "invalid", "PATCH", path, {"price": "0.00", "version": 1}, at="/price")
    for version in (None, "1", 0, 1.0, True, 2**63):
        shop.refuses(422, "invalid", "PATCH", path, {"price": "13.00", "version": version}, at="/version")


def test_stock_goes_up_and_down(shop: Shop) -> None:
    id = shop.product(stock=10)
    for delta, on_hand, version in ((5, 15, 2), (-15, 0, 3), (0, 0, 3)):
        assert shop.does("PATCH", f"/products/{id}/stock", {"delta": delta}) == {
            "product_id": id,
            "on_hand": on_hand,
            "reserved": 0,
            "available": on_hand,
            "version": version,
        }


def test_stock_never_goes_below_what_is_reserved(shop: Shop) -> None:
    id = shop.product(stock=10)
    shop.does("POST", "/orders", shop.order(shop.user(), (id, 4)))
    refused = shop.refuses(409, "insufficient-inventory", "PATCH", f"/products/{id}/stock", {"delta": -7})
    assert refused["shortages"] == [{"product_id": id, "asked": 7, "available": 6}]
    assert shop.does("PATCH", f"/products/{id}/stock", {"delta": -6})["available"] == 0


def test_a_wrong_stock_change_is_refused(shop: Shop) -> None:
    path = f"/products/{shop.product()}/stock"
    for delta in (None, "1", 1.5, True, 10**10, -(10**10)):
        shop.refuses(422, "invalid", "PATCH", path, {"delta": delta}, at="/delta")
    shop.refuses(404, "not-found", "PATCH", "/products/99/stock", {"delta": 1})
    shop.refuses(412, "precondition-failed", "PATCH", path, {"delta": 1}, if_match='"2"')


def test_related_products_are_replaced(shop: Shop) -> None:
    a, b, c = (shop.product(sku) for sku in ("A", "B", "C"))
    for related, version in (([b, c], 2), ([c, b, c], 2), ([c], 3), ([], 4)):
        assert shop.does("PUT", f"/products/{a}/related", {"related": related})["version"] == version
        found = shop.rows("select related_id::text from related_products order by 1")
        assert [id for (id,) in found] == sorted(set(related))


def test_wrong_related_products_are_refused(shop: Shop) -> None:
    a, b = shop.product("A"), shop.product("B")
    path = f"/products/{a}/related"
    shop.refuses(422, "invalid", "PUT", path, {"related": [b, a]}, at="/related/1")
    shop.refuses(422, "invalid", "PUT", path, {"related": b}, at="/related")
    shop.refuses(422, "invalid", "PUT", path, {"related": [1]}, at="/related/0")
    for unknown in ("99", "x"):
        shop.refuses(404, "not-found", "PUT", path, {"related": [b, unknown]})
    shop.refuses(404, "not-found", "PUT", "/products/99/related", {"related": []})
    shop.refuses(412, "precondition-failed", "PUT", path, {"related": [b]}, if_match='"2"')

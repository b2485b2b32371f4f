"""Orders: the page and the list item, as the order goes its way and those around it change."""

from __future__ import annotations

from typing import Any

from tests.projectors.read_models.shop import ORDER, SHOP


def test_an_order_appears_whole(story: Any) -> None:
    story.given(*SHOP)
    story.when(ORDER)
    page = story.document("order_details")
    assert page["customer"] == {
        "id": "1",
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "phone": None,
        "loyalty_tier": "bronze",
    }
    assert (page["subtotal"], page["total"], page["currency"]) == ("20.00", "26.60", "USD")
    assert [(item["name"], item["line_total"]) for item in page["items"]] == [("Saw", "20.00")]
    assert page["payment"] == {"method": "card", "last_four": None, "status": "pending", "transactions": []}
    assert [step["status"] for step in page["timeline"]] == ["pending"]
    assert page["shipping"]["estimated_delivery"] == "2026-12-01"
    assert page["can_cancel"] is True
    item = story.document("order_list_item")
    assert (item["item_count"], item["item_preview"]) == (1, ["Saw"])
    assert (item["status_label"], item["customer_name"]) == ("Pending", "Ada Lovelace")


def test_its_timeline_is_told_by_the_changes_of_its_status(story: Any) -> None:
    story.given(*SHOP, ORDER, "update orders set status = 'paid', version = 2 where id = 1")
    story.when(
        "update payments set status = 'captured' where id = 1",
        "update orders set status = 'shipped', carrier = 'DHL', tracking_number = 'T1', version = 3 where id = 1",
        "update orders set status = 'delivered', version = 4 where id = 1",
    )
    page = story.document("order_details")
    assert [step["status"] for step in page["timeline"]] == ["pending", "paid", "shipped", "delivered"]
    assert (page["version"], page["can_cancel"], page["payment"]["status"]) == (4, False, "captured")
    assert story.document("order_list_item")["status"] == "delivered"


def test_a_customers_new_name_stands_in_every_order_and_is_found(story: Any) -> None:
    story.given(*SHOP, ORDER)
    story.when("update users set last_name = 'King' where id = 1")
    assert story.document("order_details")["customer"]["name"] == "Ada King"
    assert story.document("order_list_item")["customer_name"] == "Ada King"
    found = "select id from read_models.order_list_item where search @@ to_tsquery('simple', '{}')"
    assert story.then(found.format("king & saw")) == [(1,)]
    assert story.then(found.format("lovelace")) == []


def test_a_preview_names_the_first_three_lines(story: Any) -> None:
    story.given(*SHOP, ORDER)
    story.when(
        """insert into order_items (id, order_id, product_id, sku, name, unit_price, quantity)
           select n, 1, 2, 'S', 'Thing ' || n, 1, 1 from generate_series(2, 5) n"""
    )
    item = story.document("order_list_item")
    assert (item["item_count"], item["item_preview"]) == (5, ["Saw", "Thing 2", "Thing 3"])


def test_an_order_that_is_deleted_is_shown_no_more(story: Any) -> None:
    story.given(*SHOP, ORDER)
    story.when("delete from payments", "delete from order_items", "delete from orders")
    for model in ("order_details", "order_list_item"):
        assert story.then(f"select * from read_models.{model}") == []
    assert story.document("user_profile")["order_count"] == 0

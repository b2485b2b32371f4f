"""What an order's page shows, from changes as Debezium writes them."""

from __future__ import annotations

PEOPLE = """insert into users (id, email, first_name, last_name, display_name)
            values (7, 'ada@example.com', 'Ada', 'Lovelace', 'ada')"""
GOODS = (
    "insert into sellers (id, name) values (1, 'Mill')",
    "insert into categories (id, name) values (1, 'Tools')",
    "insert into products (id, seller_id, category_id, sku, name, price, currency) values (1, 1, 1, 'S1', 'Saw', 10, 'USD')",
)
ORDER = (
    """insert into orders (id, number, user_id, currency, subtotal, tax, shipping, total, shipping_method, shipping_address,
                           estimated_delivery)
       values (5, 'ORD-5', 7, 'USD', 20, 1.6, 5, 26.6, 'standard', '{"city": "London"}', '2026-12-01')""",
    "insert into order_items (order_id, product_id, sku, name, unit_price, quantity) values (5, 1, 'S1', 'Saw', 10, 2)",
    "insert into payments (order_id, method, amount) values (5, 'card', 26.6)",
)


def test_an_order_appears_whole(serving, store_rows):
    serving.commit(PEOPLE)
    serving.commit(*GOODS)
    serving.commit(*ORDER)
    serving.project().close()
    [(document,)] = store_rows("select document from read_models.order_details")
    assert document["customer"]["name"] == "Ada Lovelace"
    assert document["total"] == "26.60"
    assert [item["line_total"] for item in document["items"]] == ["20.00"]
    assert document["payment"]["status"] == "pending"
    assert [step["status"] for step in document["timeline"]] == ["pending"]
    assert document["shipping"]["estimated_delivery"] == "2026-12-01"

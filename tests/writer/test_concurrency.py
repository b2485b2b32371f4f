"""Commands at the same time."""

from __future__ import annotations

import random
from collections import Counter

from tests.writer.harness import Shop


def test_the_last_item_is_sold_once(shop: Shop) -> None:
    user, product = shop.user(), shop.product(stock=1)
    answers = shop.parallel([("POST", "/orders", shop.order(user, (product, 1)), {})] * 8)
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 7}
    assert shop.rows("select on_hand, reserved from stock") == [(1, 1)]


def test_orders_of_the_same_products_never_wait_in_a_ring(shop: Shop) -> None:
    user = shop.user()
    products = [shop.product(f"P{n}", stock=1000) for n in range(4)]
    chance = random.Random(7)
    orders = [shop.order(user, *((id, 1) for id in chance.sample(products, 4))) for _ in range(60)]
    placed = shop.parallel([("POST", "/orders", order, {}) for order in orders])
    assert {answer.status_code for answer in placed} == {201}
    ids = [answer.json()["id"] for answer in placed]
    cancel = {"reason": "r", "requested_by": "customer"}
    mixed = [("POST", f"/orders/{id}/cancel", cancel, {}) for id in ids[:30]]
    mixed += [("POST", f"/orders/{id}/pay", None, {}) for id in ids[30:]]
    mixed += [("POST", "/orders", order, {}) for order in orders[:30]]
    assert {answer.status_code for answer in shop.parallel(chance.sample(mixed, len(mixed)))} == {200, 201}
    assert shop.rows("select distinct on_hand, reserved from stock") == [(1000, 60)]


def test_one_of_several_changes_to_a_version_wins(shop: Shop) -> None:
    path = f"/users/{shop.user()}"
    answers = shop.parallel([("PATCH", path, {"first_name": f"A{n}", "version": 1}, {}) for n in range(8)])
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 7}
    assert shop.rows("select version from users") == [(2,)]


def test_an_order_is_either_paid_or_cancelled(shop: Shop) -> None:
    id = shop.placed()
    cancel = ("POST", f"/orders/{id}/cancel", {"reason": "r", "requested_by": "customer"}, {})
    answers = shop.parallel([("POST", f"/orders/{id}/pay", None, {}), cancel] * 4)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 7}

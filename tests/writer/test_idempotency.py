"""The same request twice is carried out once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest

from tests.writer.harness import Shop

ADA = {"email": "ada@example.org", "first_name": "Ada", "last_name": "Lovelace"}


def test_a_replay_is_answered_alike_and_changes_nothing(shop: Shop) -> None:
    order = shop.order(shop.user(), (shop.product(), 2))
    first = shop.send("POST", "/orders", order, idempotency_key="k")
    before = shop.everything()
    again = shop.send("POST", "/orders", order, idempotency_key="k")
    assert (again.status_code, again.content) == (201, first.content)
    assert (again.headers["Location"], again.headers["ETag"]) == (first.headers["Location"], first.headers["ETag"])
    assert shop.everything() == before


def test_the_token_of_a_replay_names_the_original_transaction(shop: Shop) -> None:
    tokens = [shop.send("POST", "/users", ADA, idempotency_key="k").headers["Readside-Token"] for _ in range(2)]
    (version, xid, first), (_, xid_again, second) = (token.split(".") for token in tokens)
    assert (version, xid) == ("v1", xid_again)
    assert shop.rows(f"select xmin::text = '{xid}', '{second}'::pg_lsn >= '{first}'::pg_lsn from users") == [
        (True, True)
    ]


def test_a_key_with_another_body_is_refused(shop: Shop) -> None:
    shop.does("POST", "/users", ADA, idempotency_key="k")
    other = {**ADA, "email": "eve@example.org"}
    shop.refuses(422, "idempotency-key-reused", "POST", "/users", other, idempotency_key="k")


def test_a_key_belongs_to_its_route(shop: Shop) -> None:
    shop.does("POST", "/users", ADA, idempotency_key="k")
    for path in ("/sellers", "/categories"):
        shop.does("POST", path, {"name": "Engines"}, idempotency_key="k")
    id = shop.does("POST", "/users", {**ADA, "email": "bob@example.org"}, idempotency_key="k2")["id"]
    for user in ("1", id):
        assert shop.does("POST", f"/users/{user}/suspend", idempotency_key="k")["id"] == user


def test_every_post_honours_a_key(shop: Shop) -> None:
    user, product = shop.user(), shop.product()
    post = shop.does("POST", "/posts", {"author_id": user, "title": "t", "body": "b"})["id"]
    order = shop.does("POST", "/orders", shop.order(user, (product, 1)))["id"]
    doomed = shop.does("POST", "/orders", shop.order(user, (product, 1)))["id"]
    for path, body in (
        ("/users", {**ADA, "email": "eve@example.org"}),
        (f"/users/{user}/suspend", None),
        (f"/users/{user}/reinstate", None),
        ("/posts", {"author_id": user, "title": "t", "body": "b"}),
        (f"/posts/{post}/comments", {"author_id": user, "body": "b"}),
        ("/sellers", {"name": "s"}),
        ("/categories", {"name": "c"}),
        ("/products", {"seller_id": "1", "category_id": "1", "sku": "X", "name": "x", "price": "1.00"}),
        ("/reviews", {"product_id": product, "user_id": user, "rating": 5, "body": "ten letters"}),
        ("/orders", shop.order(user, (product, 1))),
        (f"/orders/{order}/pay", None),
        (f"/orders/{order}/ship", {"carrier": "UPS", "tracking_number": "1"}),
        (f"/orders/{order}/deliver", None),
        (f"/orders/{doomed}/cancel", {"reason": "r", "requested_by": "customer"}),
    ):
        first = shop.send("POST", path, body, idempotency_key="k")
        before = shop.everything()
        again = shop.send("POST", path, body, idempotency_key="k")
        assert first.is_success, first.text
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert shop.everything() == before


def test_a_refused_request_leaves_its_key_free(shop: Shop) -> None:
    order = shop.order(shop.user(), (shop.product(stock=0), 1))
    shop.refuses(409, "insufficient-inventory", "POST", "/orders", order, idempotency_key="k")
    shop.does("PATCH", "/products/1/stock", {"delta": 1})
    assert shop.does("POST", "/orders", order, idempotency_key="k")["status"] == "pending"


def test_an_expired_key_is_free(shop: Shop) -> None:
    shop.does("POST", "/sellers", {"name": "a"}, idempotency_key="k")
    shop.db.execute("update idempotency_keys set created_at = created_at - interval '2 days'")
    assert shop.does("POST", "/sellers", {"name": "b"}, idempotency_key="k") == {"id": "2"}
    assert shop.does("POST", "/sellers", {"name": "b"}, idempotency_key="k") == {"id": "2"}


def test_expired_keys_are_swept(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("a", "b"):
        shop.does("POST", "/sellers", {"name": key}, idempotency_key=key)
    shop.db.execute("update idempotency_keys set created_at = created_at - interval '2 days'")
    monkeypatch.setattr("writer.idempotency._SWEEP_EVERY", 1)
    shop.does("POST", "/sellers", {"name": "c"}, idempotency_key="c")
    assert shop.rows("select key from idempotency_keys") == [("c",)]


@pytest.mark.parametrize("key", ["", "k" * 129])
def test_a_key_has_1_to_128_characters(shop: Shop, key: str) -> None:
    shop.refuses(422, "invalid", "POST", "/users", ADA, at="Idempotency-Key", idempotency_key=key)


def test_a_request_in_flight_is_not_repeated(shop: Shop, shop_database: str) -> None:
    """The first request waits for a lock that the test holds, so that the second finds it under way for certain."""
    order = shop.order(shop.user(), (shop.product(), 1))
    with ThreadPoolExecutor(1) as pool, psycopg.connect(shop_database) as other:
        other.execute("select from stock for update")
        first = pool.submit(shop.send, "POST", "/orders", order, idempotency_key="k")
        shop.until("select count(*) = 1 from pg_locks where not granted")
        with httpx.Client(base_url=shop.url) as second:
            refused = second.post("/orders", json=order, headers={"Idempotency-Key": "k"})
        other.rollback()
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/in-flight")
        assert first.result().status_code == 201
    assert shop.rows("select count(*) from orders") == [(1,)]


def test_parallel_requests_with_one_key_have_one_effect(shop: Shop) -> None:
    order = shop.order(shop.user(), (shop.product(), 1))
    answers = shop.parallel([("POST", "/orders", order, {"Idempotency-Key": "k"})] * 16)
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert shop.rows("select count(*) from orders") == [(1,)]

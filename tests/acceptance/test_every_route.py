"""Every route of both servers, as their own OpenAPI documents list them, on the real stack: what its first user gets.

A command is followed by a read that carries its token, and so shows it.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.backends import Stack
from tests.databases import eventually


class Server:
    """A server's routes, and those of them that were answered with a success."""

    def __init__(self, address: str) -> None:
        self.http = httpx.Client(base_url=f"http://{address}", timeout=20.0, trust_env=False)
        document = self.http.get("/openapi.json").raise_for_status().json()
        self.routes = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
        self.answered: set[tuple[str, str]] = set()

    def call(self, route: str, expected: int = 200, *, body: Any = None, token: str | None = None, **named: Any) -> Any:
        """One request; names in braces are filled from ``named``, what is left of it are query parameters."""
        method, template = route.split(" ")
        path = template.format(**named)
        parameters = {name: value for name, value in named.items() if f"{{{name}}}" not in template}
        headers = {"Readside-Token": token, "Prefer": "wait=20"} if token else {}
        answer = self.http.request(method, path, params=parameters, json=body, headers=headers)
        assert answer.status_code == expected, f"{route}: {answer.status_code} {answer.text[:300]}"
        self.answered.add((method, template))
        return answer


class Shop:
    """Both servers, and the token of the last command: what is read next contains it."""

    def __init__(self, writer: Server, queries: Server) -> None:
        self.writer = writer
        self.queries = queries
        self._token: str | None = None

    def do(self, route: str, expected: int = 200, body: Any = None, **named: Any) -> Any:
        """A command's answer; None for one without a body."""
        answer = self.writer.call(route, expected, body=body, **named)
        self._token = answer.headers["Readside-Token"]
        return answer.json() if answer.content else None

    def make(self, route: str, body: Any, **named: Any) -> str:
        """The id of what a command made."""
        return self.do(route, 201, body, **named)["id"]

    def read(self, path: str, **named: Any) -> Any:
        """What the query server shows of it."""
        answer = self.queries.call(f"GET {path}", token=self._token, **named)
        assert answer.headers["Readside-As-Of"].endswith("Z")
        assert int(answer.headers["Readside-Lag-Ms"]) >= 0
        return answer.json()

    def user(self, first: str, last: str) -> str:
        email = f"{secrets.token_hex(6)}@example.com"
        return self.make("POST /users", {"email": email, "first_name": first, "last_name": last})


@pytest.fixture(scope="module")
def shop(stack: Stack) -> Iterator[Shop]:
    stack.wait_healthy()
    writer, queries = Server(stack.settings.writer_address), Server(stack.settings.queries_address)
    with closing(writer.http), closing(queries.http):
        yield Shop(writer, queries)


def stocked(shop: Shop) -> dict[str, str]:
    """A seller, a category, and two products in stock."""
    seller = shop.make("POST /sellers", {"name": "Mill"})
    category = shop.make("POST /categories", {"name": "Tools"})
    made = {"seller": seller, "category": category}
    for name, price in (("saw", "19.90"), ("axe", "35.00")):
        body = {"seller_id": seller, "category_id": category, "sku": secrets.token_hex(8), "name": name, "price": price}
        made[name] = shop.make("POST /products", {**body, "stock": 10})
    return made


def test_users(shop: Shop) -> None:
    ada, grace = shop.user("Ada", "Lovelace"), shop.user("Grace", "Hopper")
    shop.do("PATCH /users/{user_id}", body={"last_name": "King", "version": 1}, user_id=ada)
    assert shop.read("/users/{id}", id=ada)["full_name"] == "Ada King"
    assert shop.do("POST /users/{user_id}/suspend", user_id=ada)["status"] == "suspended"
    assert shop.do("POST /users/{user_id}/reinstate", user_id=ada)["status"] == "active"
    shop.do("PUT /users/{user_id}/following/{other_id}", 204, user_id=ada, other_id=grace)
    assert shop.read("/users/{id}", id=grace)["follower_count"] == 1
    shop.do("DELETE /users/{user_id}/following/{other_id}", 204, user_id=ada, other_id=grace)
    assert shop.read("/users/{id}", id=ada)["following_count"] == 0


def test_posts(shop: Shop) -> None:
    ada, grace = shop.user("Ada", "Lovelace"), shop.user("Grace", "Hopper")
    shop.do("PUT /users/{user_id}/following/{other_id}", 204, user_id=grace, other_id=ada)
    post = shop.make("POST /posts", {"author_id": ada, "title": "Note G", "body": "x" * 300})
    comment = shop.make("POST /posts/{post_id}/comments", {"author_id": grace, "body": "Indeed"}, post_id=post)
    page = shop.read("/posts/{id}", id=post)
    assert (page["comment_count"], page["comments"][0]["id"], page["author"]["id"]) == (1, comment, ada)
    assert shop.read("/posts/{id}/comments", id=post)["items"] == page["comments"]
    shop.do("PATCH /posts/{post_id}", body={"title": "Note H", "version": 1}, post_id=post)
    listed = shop.read("/posts", author_id=ada)
    assert [(item["title"], item["excerpt"]) for item in listed["items"]] == [("Note H", "x" * 200)]
    assert shop.read("/users/{id}/posts", id=ada) == shop.read("/users/{id}/feed", id=grace) == listed
    shop.do("DELETE /comments/{comment_id}", 204, comment_id=comment)
    assert shop.read("/posts/{id}", id=post)["comments"] == []
    shop.do("DELETE /posts/{post_id}", 204, post_id=post)
    assert shop.read("/users/{id}/feed", id=grace) == {"items": [], "next_cursor": None}


def test_products(shop: Shop) -> None:
    goods = stocked(shop)
    saw, ada = goods["saw"], shop.user("Ada", "Lovelace")
    shop.do("PATCH /products/{product_id}/price", body={"price": "21.00", "version": 1}, product_id=saw)
    shop.do("PATCH /products/{product_id}/stock", body={"delta": 5}, product_id=saw)
    shop.do("PUT /products/{product_id}/related", body={"related": [goods["axe"]]}, product_id=saw)
    body = {"product_id": saw, "user_id": ada, "rating": 4, "body": "Cuts what it should."}
    review = shop.make("POST /reviews", body)
    page = shop.read("/products/{id}", id=saw)
    assert (page["price"], page["available"], page["average_rating"], page["review_count"]) == ("21.00", 15, 4, 1)
    assert [step["price"] for step in page["price_history"]] == ["21.00"]
    assert [(one["id"], one["price"]) for one in page["related"]] == [(goods["axe"], "35.00")]
    assert page["seller"] == {
        "id": goods["seller"],
        "name": "Mill",
        "reputation": 4,
        "review_count": 1,
        "product_count": 2,
    }
    cards = shop.read("/products", category=goods["category"], sort="rating")["items"]
    assert [card["id"] for card in cards] == [saw, goods["axe"]]
    shop.do("DELETE /reviews/{review_id}", 204, review_id=review)
    assert shop.read("/products/{id}", id=saw)["rating_histogram"]["4"] == 0


def test_orders(shop: Shop) -> None:
    goods, ada = stocked(shop), shop.user("Ada", "Lovelace")
    body = {
        "customer_id": ada,
        "items": [{"product_id": goods["saw"], "quantity": 2}],
        "shipping_address": {"city": "London"},
        "shipping_method": "standard",
        "payment_method": "card",
    }
    order = shop.do("POST /orders", 201, body)
    id = order["id"]
    assert shop.read("/orders/{id}", id=id)["total"] == order["total"]
    moved = {"line1": "12 St James's Square", "city": "London", "version": order["version"]}
    shop.do("PUT /orders/{order_id}/shipping-address", body=moved, order_id=id)
    shop.do("POST /orders/{order_id}/pay", order_id=id)
    shop.do("POST /orders/{order_id}/ship", body={"carrier": "DHL", "tracking_number": "T1"}, order_id=id)
    shop.do("POST /orders/{order_id}/deliver", order_id=id)
    page = shop.read("/orders/{id}", id=id)
    assert [step["status"] for step in page["timeline"]] == ["pending", "paid", "shipped", "delivered"]
    assert page["shipping"]["address"]["line1"] == "12 St James's Square"
    cancelled = shop.do("POST /orders", 201, body)["id"]
    why = {"reason": "ordered twice", "requested_by": "customer"}
    shop.do("POST /orders/{order_id}/cancel", body=why, order_id=cancelled)
    assert [item["id"] for item in shop.read("/users/{id}/orders", id=ada)["items"]] == [cancelled, id]
    assert [item["id"] for item in shop.read("/users/{id}/orders", id=ada, status="delivered")["items"]] == [id]
    assert [item["id"] for item in shop.read("/orders", search=order["number"])["items"]] == [id]
    summary = shop.read("/analytics/orders/summary")
    assert summary["orders_by_status"]["cancelled"] >= 1
    assert sum(hour["orders"] for hour in shop.read("/analytics/orders/hourly")["by_hour"]) == summary["total_orders"]
    asked = {"sql": f"select status from orders where id = {id}"}
    assert shop.queries.call("POST /sql", body=asked).json()["rows"] == [["delivered"]]


def test_the_servers_tell_of_themselves(shop: Shop) -> None:
    for server in (shop.writer, shop.queries):
        for path in ("/livez", "/readyz", "/metrics", "/docs", "/openapi.json"):
            assert server.call(f"GET {path}").text, path
    assert shop.queries.call("GET /health").json()["components"]
    assert shop.queries.call("GET /problems/{kind}", kind="stale-read").text
    assert "<!doctype html>" in shop.queries.http.get("/").text
    assert shop.queries.call("GET /dead-letters").json()["silent"] == []
    nothing = {"letters": [{"store": store, "id": "nothing[0]@1"} for store in ("serving", "analytics")]}
    assert len(shop.queries.call("POST /dead-letters/retry", 202, body=nothing).json()["missing"]) == 2
    with shop.queries.http.stream("GET", "/events") as events:  # which have no end
        assert {line for _, line in zip(range(3), events.iter_lines(), strict=False)} >= {"event: history"}
    shop.queries.answered.add(("GET", "/events"))
    with shop.queries.http.stream("GET", "/events", params={"model": "user_profile"}, timeout=30) as changes:
        lines = changes.iter_lines()
        assert next(line for line in lines if line.startswith("event: ")) == "event: watching"
        ada = shop.user("Ada", "Lovelace")
        named = (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))
        assert any(ada in (data.get("keys") or ()) for data in named)


def test_the_published_copy_follows(shop: Shop, stack: Stack) -> None:
    ada = shop.user("Ada", "Lovelace")
    script = "import duckdb, sys; print(duckdb.connect(sys.argv[1], read_only=True).execute(sys.argv[2]).fetchall())"
    query = f"select full_name from customers where id = {ada}"

    def there() -> bool:
        command = [sys.executable, "-c", script, str(stack.settings.analytics_copy), query]
        return "Ada Lovelace" in subprocess.run(command, capture_output=True, text=True).stdout

    eventually(there, what="the copy holds a user", deadline_s=30)


def test_no_route_was_left_out(shop: Shop) -> None:
    """Runs the others itself, so that it holds alone and in any order."""
    test_users(shop)
    test_posts(shop)
    test_products(shop)
    test_orders(shop)
    test_the_servers_tell_of_themselves(shop)
    for server in (shop.writer, shop.queries):
        assert server.routes - server.answered == set()

"""Who may give which command: every role at every route, with what is theirs and with what is not (CONTRACT.md, 7)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import fastapi
import httpx
import psycopg
import pytest
from pydantic import SecretStr

from config.identity import Identity
from config.serving import require_guards
from config.settings import Settings
from tests.tokens import EXPIRES_S, SECRET, bearer, token
from tests.writer.harness import ADDRESS, Shop, serving
from writer import access

OWN, OTHER = "1", "2"  # ids of users and of sellers alike: a seller is not the user of the same number

CALLERS: dict[str, dict[str, str]] = {
    "nobody": {},
    "a bearer without roles": bearer(sub=OWN),
    "the customer": bearer("customer", sub=OWN),
    "another customer": bearer("customer", sub=OTHER),
    "the seller": bearer("seller", sub=OWN),
    "another seller": bearer("seller", sub=OTHER),
    "an analyst": bearer("analyst", sub=OWN),
    "an operator": bearer("operator", sub="ops"),
}


@dataclass(frozen=True)
class Line:
    """One line of the matrix: who succeeds; whoever else has a token gets 403, and without one 401."""

    request: Callable[[World], tuple[str, Any]]
    succeed: tuple[str, ...] = ("an operator",)
    #: Who gets 404, as for what does not exist.
    unaware: tuple[str, ...] = ()

    def expected(self, caller: str) -> int | None:
        if caller in self.succeed:
            return None
        return 404 if caller in self.unaware else 401 if caller == "nobody" else 403


class World:
    """Makes what a request is about: belonging to the customer or the seller whose id is OWN."""

    def __init__(self, shop: Shop) -> None:
        self.db, self.fresh = shop.db, itertools.count(100)
        for n in (1, 2, 3):
            self.make("users", email=f"user{n}@example.org", first_name="A", last_name="B", display_name="C")
            self.make("sellers", name="S")
        self.make("categories", name="C")

    def make(self, table: str, **columns: Any) -> int:
        names, values = ", ".join(columns), ", ".join(f"%({name})s" for name in columns)
        row = self.db.execute(f"insert into {table} ({names}) values ({values}) returning *", columns).fetchone()  # pyright: ignore
        assert row is not None
        return row[0]

    def version(self) -> int:
        """Of the customer's row now."""
        row = self.db.execute("select version from users where id = 1").fetchone()
        assert row is not None
        return row[0]

    def product(self) -> int:
        sku = f"P{next(self.fresh)}"
        id = self.make(
            "products", seller_id=OWN, category_id=1, sku=sku, name="P", price="5.00", currency="USD", image_url=None
        )
        self.make("stock", product_id=id, on_hand=100)
        return id

    def order(self, status: str = "pending") -> int:
        sent = {"carrier": "UPS", "tracking_number": "1"} if status == "shipped" else {}
        amounts = {"subtotal": 5, "tax": 0, "shipping": 0, "total": 5, "currency": "USD"}
        number, method, address = f"N{next(self.fresh)}", "standard", json.dumps(ADDRESS)
        order = {"number": number, "user_id": OWN, "shipping_method": method, "shipping_address": address}
        id = self.make("orders", **order, status=status, estimated_delivery="2026-12-01", **amounts, **sent)
        product = self.product()
        self.db.execute("update stock set reserved = 1 where product_id = %s", [product])
        item = {"order_id": id, "product_id": product, "sku": "x", "name": "x", "unit_price": 5, "quantity": 1}
        self.make("order_items", **item)
        self.make("payments", order_id=id, method="card", amount=5)
        return id

    def post(self, status: str = "published") -> int:
        at = "2026-01-01" if status == "published" else None
        return self.make("posts", author_id=OWN, title="t", body="b", status=status, published_at=at)

    def comment(self) -> int:
        return self.make("comments", post_id=self.post(), author_id=OWN, body="b")

    def review(self) -> int:
        return self.make("reviews", product_id=self.product(), user_id=OWN, rating=5, body="x" * 10)

    def email(self) -> str:
        return f"new{next(self.fresh)}@example.org"

    def placement(self) -> dict[str, Any]:
        items = [{"product_id": str(self.product()), "quantity": 1}]
        how = {"shipping_address": ADDRESS, "shipping_method": "standard", "payment_method": "card"}
        return {"customer_id": OWN, "items": items, **how}


EVERYBODY = tuple(CALLERS)
AS_CUSTOMER, AS_SELLER = ("the customer", "an operator"), ("the seller", "an operator")
STRANGE = ("another customer",)

MATRIX: dict[str, Line] = {
    "POST /users": Line(lambda w: ("/users", {"email": w.email(), "first_name": "A", "last_name": "B"})),
    "PATCH /users/{user_id}": Line(
        lambda w: (f"/users/{OWN}", {"first_name": "A", "version": w.version()}), AS_CUSTOMER
    ),
    "POST /users/{user_id}/suspend": Line(lambda _: ("/users/3/suspend", None)),
    "POST /users/{user_id}/reinstate": Line(lambda _: ("/users/3/reinstate", None)),
    "PUT /users/{user_id}/following/{other_id}": Line(lambda _: (f"/users/{OWN}/following/{OTHER}", None), AS_CUSTOMER),
    "DELETE /users/{user_id}/following/{other_id}": Line(
        lambda _: (f"/users/{OWN}/following/{OTHER}", None), AS_CUSTOMER
    ),
    "POST /posts": Line(lambda _: ("/posts", {"author_id": OWN, "title": "t", "body": "b"}), AS_CUSTOMER),
    "PATCH /posts/{post_id}": Line(lambda w: (f"/posts/{w.post()}", {"title": "u", "version": 1}), AS_CUSTOMER),
    "DELETE /posts/{post_id}": Line(lambda w: (f"/posts/{w.post()}", None), AS_CUSTOMER),
    "POST /posts/{post_id}/comments": Line(
        lambda w: (f"/posts/{w.post()}/comments", {"author_id": OWN, "body": "b"}), AS_CUSTOMER
    ),
    "DELETE /comments/{comment_id}": Line(lambda w: (f"/comments/{w.comment()}", None), AS_CUSTOMER),
    "POST /sellers": Line(lambda _: ("/sellers", {"name": "s"})),
    "POST /categories": Line(lambda _: ("/categories", {"name": "c"})),
    "POST /products": Line(
        lambda w: (
            "/products",
            {"seller_id": OWN, "category_id": "1", "sku": f"N{next(w.fresh)}", "name": "p", "price": "1.00"},
        )
    ),
    "PATCH /products/{product_id}/price": Line(
        lambda w: (f"/products/{w.product()}/price", {"price": "6.00", "version": 1}), AS_SELLER
    ),
    "PATCH /products/{product_id}/stock": Line(lambda w: (f"/products/{w.product()}/stock", {"delta": 1}), AS_SELLER),
    "PUT /products/{product_id}/related": Line(
        lambda w: (f"/products/{w.product()}/related", {"related": [str(w.product())]}), AS_SELLER
    ),
    "POST /reviews": Line(
        lambda w: ("/reviews", {"product_id": str(w.product()), "user_id": OWN, "rating": 5, "body": "x" * 10}),
        AS_CUSTOMER,
    ),
    "DELETE /reviews/{review_id}": Line(lambda w: (f"/reviews/{w.review()}", None), AS_CUSTOMER),
    "POST /orders": Line(lambda w: ("/orders", w.placement()), AS_CUSTOMER),
    "POST /orders/{order_id}/pay": Line(lambda w: (f"/orders/{w.order()}/pay", None)),
    "POST /orders/{order_id}/ship": Line(
        lambda w: (f"/orders/{w.order('paid')}/ship", {"carrier": "UPS", "tracking_number": "1"})
    ),
    "POST /orders/{order_id}/deliver": Line(lambda w: (f"/orders/{w.order('shipped')}/deliver", None)),
    "POST /orders/{order_id}/cancel": Line(
        lambda w: (f"/orders/{w.order()}/cancel", {"reason": "r", "requested_by": "customer"}), AS_CUSTOMER, STRANGE
    ),
    "PUT /orders/{order_id}/shipping-address": Line(
        lambda w: (f"/orders/{w.order()}/shipping-address", {**ADDRESS, "version": 1}), AS_CUSTOMER, STRANGE
    ),
    "GET /metrics": Line(lambda _: ("/metrics", None)),
    "GET /livez": Line(lambda _: ("/livez", None), EVERYBODY),
    "GET /readyz": Line(lambda _: ("/readyz", None), EVERYBODY),
}
#: Not in the OpenAPI document, for everybody.
UNLISTED = ("/docs", "/openapi.json", "/problems/forbidden")


@pytest.fixture
def shop(shop_database: str, writer_dsn: str) -> Iterator[Shop]:
    """A running writer that asks for tokens."""
    settings = Settings(auth="jwt", jwt_key=SecretStr(SECRET))
    with serving(settings, writer_dsn) as url, psycopg.connect(shop_database, autocommit=True) as db:
        client = Shop(url, db)
        yield client
        client.http.close()


@pytest.fixture
def world(shop: Shop) -> World:
    return World(shop)


def told(answer: httpx.Response, caller: str) -> str:
    """The kind of a refusal, which has to be a whole one."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "Readside-Token" not in answer.headers
    challenge = answer.headers.get("WWW-Authenticate")
    assert challenge == ('Bearer realm="readside"' if answer.status_code == 401 and caller == "nobody" else None)
    return answer.json()["type"].removeprefix("/problems/")


KINDS = {401: "unauthenticated", 403: "forbidden", 404: "not-found"}


def test_every_role_at_every_route(shop: Shop, world: World) -> None:
    for route, line in MATRIX.items():
        method, path, body = route.split()[0], *line.request(world)
        before = shop.everything()
        for caller, headers in CALLERS.items():
            if (status := line.expected(caller)) is not None:
                answer = shop.send(method, path, body, **headers)
                assert (answer.status_code, told(answer, caller)) == (status, KINDS[status]), f"{route} {caller}"
        assert shop.everything() == before, route
        for caller in line.succeed:
            path, body = line.request(world)
            answer = shop.send(method, path, body, **CALLERS[caller])
            assert answer.is_success, f"{route} {caller}: {answer.text}"


def test_the_matrix_has_every_route(shop: Shop) -> None:
    served = {f"{method.upper()} {path}" for path, routes in shop.api["paths"].items() for method in routes}
    assert MATRIX.keys() == served
    for path in UNLISTED:
        assert shop.http.get(path).status_code == 200


def test_who_calls_is_settled_before_what_they_send(shop: Shop, world: World) -> None:
    """Nobody learns from a refusal what a route that is not theirs takes."""
    for route, line in MATRIX.items():
        method, (path, _) = route.split()[0], line.request(world)
        for caller in ("nobody", "an analyst", "a bearer without roles"):
            for content, kind in ((b"{", "application/json"), (b"[]", "application/json"), (b"x", "text/plain")):
                headers = {**CALLERS[caller], "Content-Type": kind, "If-Match": "x", "Idempotency-Key": "k" * 200}
                answer = shop.http.request(method, path, content=content, headers=headers)
                expected = line.expected(caller)
                assert expected is None or answer.status_code == expected, f"{route} {caller}"


def test_a_wrong_id_in_the_path_tells_nothing(shop: Shop, world: World) -> None:
    """An order that is not theirs and one that is not are the same to a customer."""
    own = world.order()
    for step, body in (
        ("cancel", {"reason": "r", "requested_by": "x"}),
        ("shipping-address", {**ADDRESS, "version": 9}),
    ):
        method = "POST" if step == "cancel" else "PUT"
        answers = [
            shop.send(method, f"/orders/{id}/{step}", body, **CALLERS["another customer"], if_match='"7"')
            for id in (own, 99_999, "x")
        ]
        assert [answer.status_code for answer in answers] == [404] * 3
        assert len({answer.content for answer in answers}) == 1


def test_somebody_elses_draft_is_no_post(shop: Shop, world: World) -> None:
    draft = world.post("draft")
    for method, path, body in (
        ("PATCH", f"/posts/{draft}", {"title": "u", "version": 1}),
        ("DELETE", f"/posts/{draft}", None),
        ("POST", f"/posts/{draft}/comments", {"author_id": OTHER, "body": "b"}),
    ):
        shop.refuses(404, "not-found", method, path, body, **CALLERS["another customer"])
    own = shop.does("POST", f"/posts/{draft}/comments", {"author_id": OWN, "body": "b"}, **CALLERS["the customer"])
    shop.refuses(404, "not-found", "DELETE", f"/comments/{own['id']}", **CALLERS["another customer"])
    shop.does("PATCH", f"/posts/{draft}", {"title": "u", "version": 1}, **CALLERS["the customer"])


@pytest.mark.usefixtures("world")
def test_nobody_raises_their_own_tier(shop: Shop) -> None:
    for tier in ("gold", "bronze"):
        body = {"loyalty_tier": tier, "version": 1}
        shop.refuses(403, "forbidden", "PATCH", f"/users/{OWN}", body, **CALLERS["the customer"])
    shop.does("PATCH", f"/users/{OWN}", {"loyalty_tier": "gold", "version": 1}, **CALLERS["an operator"])


def test_nobody_writes_as_somebody_else(shop: Shop, world: World) -> None:
    order = world.placement()
    review = {"product_id": str(world.product()), "user_id": OTHER, "rating": 5, "body": "x" * 10}
    for path, body in (
        ("/orders", {**order, "customer_id": OTHER}),
        ("/orders", {**order, "customer_id": "01"}),
        ("/posts", {"author_id": OTHER, "title": "t", "body": "b"}),
        (f"/posts/{world.post()}/comments", {"author_id": OTHER, "body": "b"}),
        ("/reviews", review),
    ):
        for headers in ({}, {"idempotency_key": "k"}):
            shop.refuses(403, "forbidden", "POST", path, body, **CALLERS["the customer"], **headers)


def test_several_roles_are_the_sum_of_each(shop: Shop, world: World) -> None:
    both = bearer("customer", "seller", "emperor", sub=OWN)
    shop.does("PATCH", f"/products/{world.product()}/stock", {"delta": 1}, **both)
    shop.does("POST", f"/orders/{world.order()}/cancel", {"reason": "r", "requested_by": "x"}, **both)
    shop.refuses(403, "forbidden", "POST", f"/orders/{world.order()}/pay", **both)


def test_an_idempotency_key_belongs_to_its_caller(shop: Shop, world: World) -> None:
    order = world.placement()
    callers = (bearer("customer", sub=OWN), bearer("operator", sub=OWN), bearer("operator", sub=OTHER))
    answers = [shop.send("POST", "/orders", order, idempotency_key="k", **each) for each in callers]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert len({answer.json()["id"] for answer in answers}) == 3
    again = [shop.send("POST", "/orders", order, idempotency_key="k", **each) for each in callers]
    assert [answer.content for answer in again] == [answer.content for answer in answers]
    later = bearer("customer", sub=OWN, expires_s=2 * EXPIRES_S)
    assert shop.send("POST", "/orders", order, idempotency_key="k", **later).content == answers[0].content
    cancel = {"reason": "r", "requested_by": "x"}
    path = f"/orders/{answers[0].json()['id']}/cancel"
    shop.does("POST", path, cancel, idempotency_key="k", **callers[0])
    shop.refuses(404, "not-found", "POST", path, cancel, idempotency_key="k", **CALLERS["another customer"])


@pytest.mark.parametrize(
    "bad",
    [
        token("operator", expires_s=-60),
        token("operator", nbf=2**33),
        token("operator", exp=None),
        token("operator", sub=None),
        token("operator", key="another-secret" * 4),
        token(roles="operator"),
        "nonsense",
        "x" * 20_000,
    ],
    ids=["expired", "not yet", "no exp", "no sub", "wrong key", "roles", "nonsense", "huge"],
)
def test_a_bad_token_is_no_token(shop: Shop, caplog: pytest.LogCaptureFixture, bad: str) -> None:
    refused = shop.send("POST", "/sellers", {"name": "s"}, authorization=f"Bearer {bad}")
    assert (refused.status_code, refused.json()["type"]) == (401, "/problems/unauthenticated")
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="readside", error="invalid_token"'
    assert shop.http.get("/livez", headers={"Authorization": f"Bearer {bad}"}).status_code == 200
    said = caplog.text + repr([vars(record) for record in caplog.records]) + refused.text
    assert bad not in said
    assert SECRET not in said


def test_a_route_without_a_rule_is_refused_to_all(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "RULES", {})
    for headers in CALLERS.values():
        shop.refuses(403, "forbidden", "POST", "/sellers", {"name": "s"}, **headers)


@pytest.mark.usefixtures("world")
def test_a_command_that_forgets_whose_row_it_changes_is_undone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "RULES", {"POST /sellers": access.customer(row=True)})
    for headers in ({}, {"idempotency_key": "k"}):
        shop.refuses(403, "forbidden", "POST", "/sellers", {"name": "s"}, **CALLERS["the customer"], **headers)


def test_a_router_without_guards_is_not_served() -> None:
    app, router = fastapi.FastAPI(docs_url=None, redoc_url=None), fastapi.APIRouter()
    router.add_api_route("/open", lambda: "for anybody")
    app.include_router(router)
    with pytest.raises(TypeError, match="/open"):
        require_guards(app, access.Guarded)


def test_an_open_writer_asks_nobody(shop_database: str, writer_dsn: str) -> None:
    with serving(Settings(), writer_dsn) as url, psycopg.connect(shop_database, autocommit=True) as db:
        shop = Shop(url, db)
        for headers in ({}, {"authorization": "Bearer nonsense"}):
            shop.does("POST", "/sellers", {"name": "s"}, **headers)
        shop.http.close()
    assert Identity(Settings()).caller([]) is not None

"""A client of the writer that checks every answer against the OpenAPI document, and every refusal for what it changed."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ClassVar

import httpx
import jsonschema
import psycopg
import uvicorn
from psycopg.sql import SQL, Identifier

from config.identity import Identity
from config.settings import Settings
from tests.databases import eventually
from writer.app import make_app
from writer.transaction import open_pool

ADDRESS = {"line1": "12 St James's Square", "city": "London", "country": "GB"}


@contextmanager
def serving(settings: Settings, writer_dsn: str) -> Iterator[str]:
    """A running writer, as the role shop_writer; its URL."""
    app = make_app(settings, open_pool(writer_dsn, 8), Identity(settings))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started, what="the writer starts")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class Shop:
    """A client of one writer, with the eyes of a superuser on its database."""

    #: The OpenAPI document, as the first writer of the session made it: each would make the same, and take its time.
    api: ClassVar[dict[str, Any]] = {}

    def __init__(self, url: str, db: psycopg.Connection) -> None:
        self.db = db
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=20)
        if not self.api:
            self.api.update(self.http.get("/openapi.json").json())

    def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Send a request; headers are keyword arguments (``if_match``). The answer is a documented one."""
        answer = self.http.request(
            method, path, json=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        self.documented(method, path, answer)
        return answer

    def does(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """Send a request that succeeds; answers with its JSON, or None for 204."""
        answer = self.send(method, path, body, **headers)
        assert answer.is_success, answer.text
        assert re.fullmatch(r"v1\.[0-9]+\.[0-9A-F]+/[0-9A-F]+", answer.headers["Readside-Token"])
        return answer.json() if answer.content else None

    def refuses(
        self,
        status: int,
        kind: str,
        method: str,
        path: str,
        body: object = None,
        *,
        at: str | None = None,
        **headers: str,
    ) -> dict[str, Any]:
        """Send a request that is refused and changes nothing; `at` is the place of the first error."""
        before = self.everything()
        answer = self.send(method, path, body, **headers)
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, problem["status"], problem["type"]) == (status, status, f"/problems/{kind}"), (
            problem
        )
        if at is not None:
            first = problem["errors"][0]
            assert (first.get("pointer", first.get("parameter")), bool(first["message"])) == (at, True)
        assert "Readside-Token" not in answer.headers
        assert self.everything() == before
        return problem

    def documented(self, method: str, path: str, answer: httpx.Response) -> None:
        """Fail unless the OpenAPI document has this answer to this request."""
        described = self._operation(method, path)
        if described is None:
            assert answer.status_code in (404, 405)
            return
        assert str(answer.status_code) in described["responses"], f"{method} {path}: {answer.status_code}"
        for media_type, content in described["responses"][str(answer.status_code)].get("content", {}).items():
            assert answer.headers["content-type"].startswith(media_type)
            if "json" in media_type:
                jsonschema.validate(answer.json(), {**content["schema"], "components": self.api["components"]})

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        for template, operations in self.api["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
                return operations.get(method.lower())
        return None

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database answers."""
        return self.db.execute(query).fetchall()  # type: ignore[arg-type]

    def everything(self) -> dict[str, Any]:
        """Every row of every table."""
        tables = [name for (name,) in self.rows("select tablename from pg_tables where schemaname = 'public'")]
        return {
            table: self.db.execute(
                SQL("select coalesce(jsonb_agg(t order by t::text), '[]') from {} t").format(Identifier(table))
            ).fetchone()
            for table in tables
        }

    def until(self, query: str) -> None:
        """Wait until the query answers true."""
        eventually(lambda: self.rows(query) == [(True,)], what=query)

    def parallel(self, requests: list[tuple[str, str, object, dict[str, str]]]) -> list[httpx.Response]:
        """Send all of (method, path, body, headers), eight at a time."""

        def send(request: tuple[str, str, object, dict[str, str]]) -> httpx.Response:
            method, path, body, headers = request
            return self.http.request(method, path, json=body, headers=headers)

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(send, requests))

    def user(self, name: str = "ada", **fields: object) -> str:
        """A new user's id."""
        body = {"email": f"{name}@example.org", "first_name": name.title(), "last_name": "Lovelace", **fields}
        return self.does("POST", "/users", body)["id"]

    def product(self, sku: str = "AE-1", *, price: str = "12.50", stock: int = 10) -> str:
        """A new product's id, of a seller and a category of its own."""
        seller = self.does("POST", "/sellers", {"name": "Analytical Engines"})["id"]
        category = self.does("POST", "/categories", {"name": "Calculators"})["id"]
        body = {"seller_id": seller, "category_id": category, "sku": sku, "name": f"Engine {sku}"}
        return self.does("POST", "/products", {**body, "price": price, "stock": stock})["id"]

    def order(self, customer: str, *items: tuple[str, int], **fields: object) -> dict[str, Any]:
        """The body of an order of (product, quantity)."""
        return {
            "customer_id": customer,
            "items": [{"product_id": product, "quantity": quantity} for product, quantity in items],
            "shipping_address": ADDRESS,
            "shipping_method": "standard",
            "payment_method": {"method": "card", "last_four": "4242"},
            **fields,
        }

    def placed(self, status: str = "pending") -> str:
        """The id of a new order of two engines that has come as far as `status`."""
        id = self.does("POST", "/orders", self.order(self.user(), (self.product(), 2)))["id"]
        steps = {
            "paid": [("pay", None)],
            "shipped": [("pay", None), ("ship", {"carrier": "UPS", "tracking_number": "1Z999"})],
            "delivered": [("pay", None), ("ship", {"carrier": "UPS", "tracking_number": "1Z999"}), ("deliver", None)],
            "cancelled": [("cancel", {"reason": "ordered twice", "requested_by": "customer"})],
        }
        for step, body in steps.get(status, []):
            self.does("POST", f"/orders/{id}/{step}", body)
        return id

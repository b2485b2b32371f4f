"""The query server answers as its OpenAPI document says, whatever it is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from config.settings import Settings
from tests.conformance import conforms
from tests.queries.harness import Projector, serving
from tests.tokens import SECRET, bearer

AT = "2026-01-01T00:00:00Z"
SELLER = '{"id": "1", "name": "Mill", "reputation": null, "review_count": 0, "product_count": 1}'
BOUNDS = frozenset({"start", "end", "currency"})


def document_of(described: Any, name: str) -> Any:
    """A document of a schema of the OpenAPI document."""
    return sample(described["components"]["schemas"][name], described)


def sample(schema: Any, described: Any) -> Any:
    """Something that a schema allows, as far as the schemas of answers go."""
    if "$ref" in schema:
        return document_of(described, schema["$ref"].rpartition("/")[2])
    if "examples" in schema:
        return schema["examples"][0]
    if "enum" in schema or "const" in schema:
        return schema.get("const", *schema.get("enum", [None])[:1])
    if "anyOf" in schema:
        return sample(schema["anyOf"][0], described)
    match schema.get("type"):
        case "object":
            return {name: sample(member, described) for name, member in schema.get("properties", {}).items()}
        case "array":
            return [sample(schema["items"], described)] if schema["items"] else []
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return True
        case _:
            return {"date": "2026-01-01", "date-time": AT}.get(schema.get("format", ""), "text")


class Analytics(BaseHTTPRequestHandler):
    """Stands where the analytics projector's endpoint stands: every statement has one row, a document of its route's."""

    described: ClassVar[Any]

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        name = "OrdersHourly" if b"by_hour" in asked else "OrdersSummary"
        members = {name: value for name, value in document_of(self.described, name).items() if name not in BOUNDS}
        rows = {"columns": ["document"], "rows": [[json.dumps(members)]], "row_count": 1, "truncated": False}
        content = json.dumps({**rows, "as_of": "2026-01-05T00:00:00Z"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def analytics(settings: Settings) -> Iterator[None]:
    host, _, port = settings.analytics_address.rpartition(":")
    with ThreadingHTTPServer((host, int(port)), Analytics) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("analytics")
def test_answers_are_as_documented(projector: Projector, settings: Settings) -> None:
    rows: dict[str, tuple[str, dict[str, Any]]] = {
        "user_profile": ("UserProfile", {"version": 1}),
        "order_details": ("OrderDetails", {"version": 1, "user_id": 1}),
        "order_list_item": ("OrderListItem", {"user_id": 1, "status": "paid", "placed_at": AT, "search": "a"}),
        "product_page": ("ProductPage", {"version": 1, "seller": SELLER}),
        "product_card": ("ProductCard", {"category_id": 1, "price": "1", "rating_falling": 0, "created_at": AT}),
        "post_with_comments": ("PostWithComments", {"version": 1}),
        "post_list_item": ("PostListItem", {"author_id": 1, "published_at": AT}),
        "comment_list_item": ("Comment", {"post_id": 1, "created_at": AT}),
    }
    changes = {"auth": "jwt", "jwt_key": SecretStr(SECRET), "token_wait_s": 0.01, "token_wait_max_s": 0.01}
    with serving(settings.model_copy(update=changes)) as api:
        url, document = str(api.http.base_url), api.get("/openapi.json").json()
        Analytics.described = document
        for id in (1, 2, 3):
            for table, (name, columns) in rows.items():
                projector.put(table, id=id, document=document_of(document, name), **columns)
        conforms(url, document, headers=bearer("operator"), may_be_503=frozenset({"stale-read"}))

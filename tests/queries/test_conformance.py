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
from tests.conformance import conforms, least
from tests.queries.harness import Projector, serving
from tests.tokens import SECRET, bearer


class Analytics(BaseHTTPRequestHandler):
    """Stands where the analytics projector's endpoint stands: every statement has one row, a document."""

    summary: ClassVar[dict[str, Any]] = {}
    hourly: ClassVar[dict[str, Any]] = {}

    def do_POST(self) -> None:
        statement = self.rfile.read(int(self.headers["Content-Length"]))
        document = json.dumps(self.hourly if b"by_hour" in statement else self.summary)
        rows = {"columns": ["document"], "rows": [[document]], "row_count": 1, "truncated": False}
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
    changes = {"auth": "jwt", "jwt_key": SecretStr(SECRET), "token_wait_s": 0.01, "token_wait_max_s": 0.01}
    with serving(settings.model_copy(update=changes)) as api:
        described = api.get("/openapi.json").json()
        fill(projector, described)
        conforms(str(api.http.base_url), described, headers=bearer("operator"), may_be_503=frozenset({"stale-read"}))


def fill(projector: Projector, described: dict[str, Any]) -> None:
    """Put a few rows into every read model."""
    at = "2026-01-01T00:00:00Z"
    for id in (1, 2, 3):
        for model, schema, columns in (
            ("user_profile", "UserProfile", {"version": 1}),
            ("order_details", "OrderDetails", {"version": 1, "user_id": 1}),
            ("order_list_item", "OrderListItem", {"user_id": 1, "status": "paid", "placed_at": at, "search": "a"}),
            ("product_page", "ProductPage", {"version": 1}),
            ("product_card", "ProductCard", {"category_id": 1, "price": 1, "rating_falling": 1, "created_at": at}),
            ("post_with_comments", "PostWithComments", {"version": 1}),
            ("post_list_item", "PostListItem", {"author_id": 1, "published_at": at}),
            ("comment_list_item", "Comment", {"post_id": 1, "created_at": at}),
        ):
            projector.put(model, id=id, document=least(described, schema), **columns)
    projector.put("following", follower_id=2, followee_id=1)
    for name, schema in (("summary", "OrdersSummary"), ("hourly", "OrdersHourly")):
        document = least(described, schema)
        setattr(Analytics, name, {key: document[key] for key in document if key not in ("start", "end", "currency")})

"""The query server answers as its OpenAPI document says, whatever it is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from config.settings import Settings
from tests.conformance import conforms
from tests.queries.harness import Projector, serving
from tests.tokens import SECRET, bearer


class Analytics(BaseHTTPRequestHandler):
    """Stands where the analytics projector's endpoint stands: every statement has one row, an empty document."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        rows = {"columns": ["document"], "rows": [["{}"]], "row_count": 1, "truncated": False}
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
    for id in (1, 2, 3):
        projector.put("user_profile", id=id, version=1, document={"id": str(id)})
        projector.put("order_details", id=id, version=1, user_id=1)
        projector.put("order_list_item", id=id, user_id=1, status="paid", placed_at="2026-01-01T00:00:00Z", search="a")
        projector.put("product_page", id=id, version=1)
        projector.put("post_with_comments", id=id, version=1)
    changes = {"auth": "jwt", "jwt_key": SecretStr(SECRET), "token_wait_s": 0.01, "token_wait_max_s": 0.01}
    with serving(settings.model_copy(update=changes)) as api:
        url, document = str(api.http.base_url), api.get("/openapi.json").json()
        conforms(url, document, headers=bearer("operator"), may_be_503=frozenset({"stale-read"}))

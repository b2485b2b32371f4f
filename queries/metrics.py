"""What the query server counts for Prometheus, and the ASGI layer that times requests."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REQUESTS = Histogram(
    "readside_queries_request_duration_seconds", "Time to answer.", ("route", "method", "status"), buckets=_SECONDS
)
WAITED = Histogram(
    "readside_queries_wait_seconds", "Time reads waited for a write to show.", ("store",), buckets=_SECONDS
)
WAITING = Gauge("readside_queries_waiting", "Reads waiting for a write to show.", ("store",))
STALE = Counter("readside_queries_stale_reads", "Reads whose write did not show in time.", ("store",))
LISTENING = Gauge("readside_queries_listening", "1 while the commits of the serving store's projector are heard.")

#: One of the labelled histograms; found at once where it has been asked for before.
_duration = lru_cache(maxsize=1000)(REQUESTS.labels)

for _store in ("serving", "analytics"):  # so that the first scrape shows zeros, not gaps
    for _metric in (WAITED, WAITING, STALE):
        _metric.labels(_store)


@contextmanager
def waiting(store: str) -> Generator[None]:
    """Count one read as waiting, and for how long."""
    with WAITING.labels(store).track_inprogress(), WAITED.labels(store).time():
        yield


class RequestTimer:
    """ASGI layer around the whole application. Labels hold the route's template, never a path with an id in it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            _duration(route, scope["method"], status).observe(time.perf_counter() - began)

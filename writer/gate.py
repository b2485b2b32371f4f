"""The door of the server: bodies too large do not pass it, and nothing leaves unmeasured or unexplained.

Plain ASGI, hence ``async``: the body has to be counted before anything parses it. FastAPI's own limit is not used since
it counts only bodies that a route reads, and answers others in plain text.
"""

from __future__ import annotations

import logging
import time
import traceback

import psycopg
from psycopg_pool import PoolTimeout
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from writer.metrics import Metrics
from writer.problems import INTERNAL, TOO_LARGE, UNAVAILABLE, Problem
from writer.tracing import traceparent_of

logger = logging.getLogger(__name__)


class Gate:
    """Wraps the application: body limit before it, problems for what it lets escape, metrics after it."""

    def __init__(self, app: ASGIApp, *, body_limit_bytes: int, metrics: Metrics) -> None:
        self._app = app
        self._limit = body_limit_bytes
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._serve(scope, receive, noting)
        except ClientDisconnect:
            logger.info("a client left before its request was whole", extra={"action": "request_abandoned"})
        except Exception as error:
            # An exception's own text may hold row values; what it is and where it came from is enough.
            refusal = _refusal(error, scope)
            if status == 0:
                await refusal.response()(scope, receive, noting)
        finally:
            self._metrics.served(scope["method"], _route(scope), status, time.perf_counter() - started)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(scope, receive, self._limit)
        if body is None:
            refusal = Problem(TOO_LARGE, f"the body has more than {self._limit} bytes", headers={"Connection": "close"})
            await refusal.response()(scope, receive, send)
            return
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)


async def _read(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """The whole body, or None as soon as it is known to be larger than the limit.

    Raises ``ClientDisconnect`` for half a body: what is not whole must not be carried out, even if it parses.
    """
    length = dict(scope["headers"]).get(b"content-length", b"0")
    if int(length) > limit:
        return None
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            return None
    return bytes(body)


def _refusal(error: Exception, scope: Scope) -> Problem:
    """The problem of an unexpected exception, which is logged: its class, its sqlstate, its frames, no values."""
    known = {
        "error": type(error).__qualname__,
        "sqlstate": getattr(error, "sqlstate", None),
        "trace_id": (traceparent_of(scope["headers"]) or "")[3:35] or None,
        "frames": [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)][-8:],
    }
    if isinstance(error, PoolTimeout | psycopg.OperationalError):
        logger.warning("the write database does not answer", extra={"action": "request_refused", **known})
        return Problem(UNAVAILABLE, "the write database does not answer", headers={"Retry-After": "1"})
    logger.error("a request failed", extra={"action": "request_failed", **known})
    return Problem(INTERNAL, "an error of the server; nothing was changed")


def _route(scope: Scope) -> str:
    """The route's template, so that ids do not become labels."""
    return getattr(scope.get("route"), "path", "unknown")

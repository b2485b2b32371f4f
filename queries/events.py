"""``GET /events``: what the dashboard shows, as server-sent events: the last hour first, then every look."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from queries import problems
from queries.access import Guarded
from queries.problems import Problem
from queries.sampler import WATCHERS, Sampler

router = APIRouter(route_class=Guarded, tags=["server"])

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_S = 15.0
SEND_S = 20.0  # a client that takes nothing for so long is left
LONGEST_S = 300.0  # where tokens are asked for: then the client comes again, with one that is still valid
_RETRY_MS = 2000


class Events(Response):
    """A stream that ends with its client, with the server, or when a token must be shown again.

    There is no queue: a slow client is sent what there is when it takes it, and misses what was between.
    """

    media_type = MEDIA_TYPE

    def __init__(self, sampler: Sampler, longest_s: float | None) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["Content-Length"]
        self._sampler, self._longest_s = sampler, longest_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._sampler.watched() as woken:
            if woken is None:
                refused = problems.answer_to(Request(scope), _too_many())
                return await refused(scope, receive, send)
            gone = asyncio.create_task(_gone(receive))
            gone.add_done_callback(lambda _: woken.set())
            try:
                with suppress(TimeoutError):
                    await self._send(send, woken, gone)
            finally:
                gone.cancel()

    async def _send(self, send: Send, woken: asyncio.Event, gone: asyncio.Task[None]) -> None:
        began = time.monotonic()
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _within(send, b"retry: %d\n\n" % _RETRY_MS + _event(b"history", self._sampler.history()))
        if self._sampler.latest:
            woken.set()
        while not (gone.done() or self._sampler.ending or self._over(began)):
            heard = True
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await woken.wait()
            except TimeoutError:
                heard = False
            woken.clear()
            if not (gone.done() or self._sampler.ending):
                await _within(send, _event(b"look", self._sampler.latest) if heard else b": nothing new\n\n")
        await send({"type": "http.response.body", "body": b""})

    def _over(self, began: float) -> bool:
        return self._longest_s is not None and time.monotonic() - began > self._longest_s


@router.get(
    "/events",
    response_class=Response,
    responses={
        200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}, "description": "A stream without an end."}
    },
)
async def events(request: Request) -> Response:
    """The pipeline, live, as server-sent events: `history`, the last hour by column; then each `look`, as `/health`."""
    state = request.app.state
    return Events(state.sampler, LONGEST_S if state.identity.asks else None)


async def _within(send: Send, body: bytes) -> None:
    """Send, unless the client takes nothing. Raises TimeoutError."""
    async with asyncio.timeout(SEND_S):
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def _gone(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(name: bytes, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name, data)


def _too_many() -> Problem:
    return Problem("too-many-streams", f"{WATCHERS} event streams are open already.", headers={"Retry-After": "5"})

"""``GET /events``: server-sent events. What the dashboard shows: the last hour first, then every look; or, with ``model``,
the keys of a read model's rows as they change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response
from starlette.types import Receive, Scope, Send

from config.settings import Settings
from projectors import registry
from queries import problems
from queries.access import Guarded
from queries.problems import Problem
from queries.pushes import Pushes
from queries.sampler import WATCHERS, Sampler

router = APIRouter(route_class=Guarded, tags=["server"])

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_S = 15.0
WAKE_S = 5.0  # between two looks whether the stream is over
SEND_S = 20.0  # a client that takes nothing for so long is left
LONGEST_S = 300.0  # where tokens are asked for: then the client comes again, with one that is still valid
_RETRY_MS = 2000


class Stream(Response):
    """A stream that ends with its client, with the server, or when a token must be shown again.

    There is no queue: a slow client is sent what there is when it takes it.
    """

    media_type = MEDIA_TYPE

    def __init__(self, sampler: Sampler, longest_s: float | None) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["Content-Length"]
        self.sampler, self._longest_s = sampler, longest_s

    def entered(self) -> AbstractContextManager[asyncio.Event | None]:
        """Yields what is set when there is something to send; None where too many have come already."""
        raise NotImplementedError

    def first(self) -> bytes:
        """What is sent at once."""
        raise NotImplementedError

    def next(self) -> bytes:
        """What is sent when there is something to send; nothing where there is not after all."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.entered() as woken:
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
        began = sent_at = time.monotonic()
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _within(send, b"retry: %d\n\n" % _RETRY_MS + self.first())
        while not (gone.done() or self.sampler.ending or self._over(began)):
            with suppress(TimeoutError):
                async with asyncio.timeout(min(WAKE_S, HEARTBEAT_S)):
                    await woken.wait()
            body = self.next() if woken.is_set() else b""
            woken.clear()
            if not body and time.monotonic() - sent_at > HEARTBEAT_S:
                body = b": nothing new\n\n"
            if body and not (gone.done() or self.sampler.ending):
                await _within(send, body)
                sent_at = time.monotonic()
        await send({"type": "http.response.body", "body": b""})

    def _over(self, began: float) -> bool:
        return self._longest_s is not None and time.monotonic() - began > self._longest_s


class Looks(Stream):
    """The pipeline."""

    @contextmanager
    def entered(self) -> Generator[asyncio.Event | None]:
        """See Stream."""
        with self.sampler.watched() as woken:
            if woken is not None and self.sampler.latest:
                woken.set()
            yield woken

    def first(self) -> bytes:
        """See Stream."""
        return _event(b"history", self.sampler.history())

    def next(self) -> bytes:
        """See Stream."""
        return _event(b"look", self.sampler.latest)


class Changes(Stream):
    """The changed keys of a read model."""

    def __init__(self, sampler: Sampler, longest_s: float | None, pushes: Pushes, model: str) -> None:
        super().__init__(sampler, longest_s)
        self._pushes, self._model = pushes, model
        self._told = False

    @contextmanager
    def entered(self) -> Generator[asyncio.Event | None]:
        """See Stream."""
        with self._pushes.watched(self._model) as watcher:
            if watcher is None:
                yield None
                return
            self._watcher = watcher
            yield watcher.woken

    def first(self) -> bytes:
        """See Stream."""
        return b": the projector is told\n\n"

    def next(self) -> bytes:
        """See Stream."""
        body = b""
        if self._watcher.watching and not self._told:
            self._told = True
            body = self._named(b"watching")
        keys = self._watcher.take()
        return body if keys == [] else body + self._named(b"keys", keys=keys)

    def _named(self, name: bytes, **data: object) -> bytes:
        return _event(name, msgspec.json.encode({"model": self._model, **data}))


@router.get(
    "/events",
    response_class=Response,
    responses={
        200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}, "description": "A stream without an end."}
    },
)
async def events(
    request: Request, model: Annotated[str | None, Query(max_length=63, description="A read model's name.")] = None
) -> Response:
    """The pipeline, live, as server-sent events: `history`, the last hour by column; then each `look`, as `/health`.

    With `model`: `watching`, once every commit will be told of; then `keys`, those of the rows that commits have changed,
    come or gone, as text, or as lists of texts where a key has several columns; `null` for very many.
    """
    state = request.app.state
    longest_s = LONGEST_S if state.identity.asks else None
    if model is None:
        return Looks(state.sampler, longest_s)
    if model not in _models(state.settings):
        raise Problem("not-found", "There is no such read model in the serving store; `readside models` lists them.")
    return Changes(state.sampler, longest_s, state.pushes, model)


def _models(settings: Settings) -> frozenset[str]:
    return frozenset(one.name for one in registry.load(settings.models).of_store("serving").read_models)


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

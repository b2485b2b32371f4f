"""How the servers serve HTTP: many open connections, bursts of new ones, and little for the garbage collector to do."""

from __future__ import annotations

import asyncio
import gc
import resource
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_BACKLOG = 4_096  # connections that may wait to be accepted; the kernel's own bound (somaxconn) is this by default
_KEEP_ALIVE_S = 75  # idle connections are kept for so long: a client with many of them uses each one seldom
_COLLECTED_AFTER = 20_000  # objects made; what a request leaves behind is freed without the collector


def serve(app: Callable[..., Any], host: str, port: int, *, graceful_s: int | None = None) -> None:
    """Serve until SIGTERM, after which requests under way have ``graceful_s`` seconds to end (None: as long as it takes)."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Modules and routes stay for good: a collection is not to walk them again.
    gc.freeze()
    gc.set_threshold(_COLLECTED_AFTER)
    uvicorn.run(
        app,
        host=host,
        port=port,
        http=Http,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=graceful_s,
    )


def require_guards(app: FastAPI, guarded: type[APIRoute]) -> None:
    """Raise TypeError for a route that would let anybody in; called when all routes are there."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if not isinstance(route, guarded) and getattr(route, "path", None) != app.openapi_url:
            raise TypeError(f"{route!r} is not guarded: its router needs route_class=Guarded")


class Http(HttpToolsProtocol):
    """uvicorn's HTTP, which writes a response's head and body one after the other; here they leave together.

    A head of its own is a system call, a packet and, at the client, a wake for nothing. What a lifespan gives as the state
    ``ending`` is called when the server stops: answers that have no end of their own end then.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(_Joining(transport, self.loop))  # pyright: ignore[reportArgumentType]

    def shutdown(self) -> None:
        self.app_state.get("ending", _nothing)()
        super().shutdown()


def _nothing() -> None:
    pass


class _Joining:
    """A transport that holds a response's head until the next write, or to the end of the event loop's turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop, self._held = transport, loop, b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._held:
            data, self._held = self._held + data, b""
        elif data.startswith(b"HTTP/1.1 "):
            self._held = data
            self._loop.call_soon(self._release)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._release()
        self._transport.close()

    def _release(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

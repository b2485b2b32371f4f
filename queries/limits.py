"""The bound on request bodies, held before anything parses them."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from queries.problems import Problem


class BodyLimit:
    """ASGI layer that refuses larger bodies with 413, told by Content-Length or found while a chunked one comes in."""

    def __init__(self, app: ASGIApp, *, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            # Raised where the route reads its body, so it becomes an answer like every other refusal.
            if received > self._limit_bytes or (announced.isdigit() and int(announced) > self._limit_bytes):
                raise Problem(
                    "too-large", f"A body may have {self._limit_bytes} bytes.", headers={"Connection": "close"}
                )
            return message

        await self._app(scope, limited, send)

"""The plain requests for one resource, which are nearly all there are, past the framework.

The framework's way takes any request, and its answers to wrong input are the ones there are. It also costs several times
what the answer costs. What is not plain, or wrong, is left to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from queries import problems
from queries.access import admit
from queries.resources import NO_HEADERS, Resource, answer, key_of
from queries.tokens import ReadHeaders

_PLAIN_QUERY = re.compile(rb"(?:min_version=([1-9][0-9]{0,17}))?")
_HEADERS = {b"readside-token": "token", b"if-none-match": "if_none_match", b"prefer": "prefer"}


class ShortWay:
    """ASGI layer that answers ``GET /<collection>/<id>`` itself when it knows all that the request says.

    Everything else, and whatever is wrong, it leaves to the application.
    """

    def __init__(self, app: ASGIApp, *, resources: Iterable[Resource]) -> None:
        self._app = app
        self._resources = {what.collection: what for what in resources}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            collection, _, id = scope["path"][1:].partition("/")
            what = self._resources.get(collection)
            query = _PLAIN_QUERY.fullmatch(scope["query_string"])
            if what is not None and query is not None and key_of(id):
                headers = _plain(scope["headers"])
                if headers is not None:
                    await self._serve(scope, receive, send, what, id, headers, int(query[1]) if query[1] else None)
                    return
        await self._app(scope, receive, send)

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        what: Resource,
        id: str,
        headers: ReadHeaders,
        min_version: int | None,
    ) -> None:
        scope["route"] = what  # its template labels the request's time
        try:
            send = admit(scope, send, f"GET {what.path}")
            response = await answer(scope, what, id, headers, min_version)
        except Exception as error:
            response = problems.answer_to(Request(scope), error)
        await response(scope, receive, send)


def _plain(lines: Iterable[tuple[bytes, bytes]]) -> ReadHeaders | None:
    """The headers that a read understands; None when one that has a single value is there twice."""
    found = [(field, value) for name, value in lines if (field := _HEADERS.get(name)) is not None]
    if not found:
        return NO_HEADERS
    headers = ReadHeaders.model_construct(token=None, prefer=[], if_none_match=None)
    for field, value in found:
        text = value.decode("latin-1")
        if field == "prefer":
            headers.prefer.append(text)
        elif getattr(headers, field) is not None:
            return None
        else:
            setattr(headers, field, text)
    return headers

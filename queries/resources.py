"""The generic resource route: one read model's row by id, its document passed through as stored.

A request comes to it one of two ways. The framework's way takes any request, and its answers to wrong input are the ones
there are. It also costs several times what the answer costs, so ``ShortWay`` takes the plain requests, which are nearly
all, past the framework. Both end in ``_answer``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from queries import problems
from queries.documents import Documents
from queries.problems import Problem
from queries.tokens import Demand, ReadHeaders, demand_of

MinVersion = Annotated[int | None, Query(ge=1, lt=2**63, description="Wait until the resource has this version.")]

_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_ETAG = re.compile(r"(?:W/)?(\"[^\"]*\"|\*)")
_PLAIN_QUERY = re.compile(rb"(?:min_version=([1-9][0-9]{0,17}))?")
_HEADERS = {b"readside-token": "token", b"if-none-match": "if_none_match", b"prefer": "prefer"}
_NONE = ReadHeaders()  # pyright: ignore[reportCallIssue]
_NOTHING = Demand()


@dataclass(frozen=True, slots=True)
class Resource:
    """What ``/<collection>/{id}`` shows: the row of ``read_models.<model>`` with this id."""

    collection: str
    model: str

    @property
    def path(self) -> str:
        """The route's template."""
        return f"/{self.collection}/{{id}}"


def key_of(id: str) -> int | None:
    """The row's key for an opaque id; None for a text that never was an id."""
    key = int(id) if _ID.fullmatch(id) else 0
    return key if 0 < key < 2**63 else None


async def resource(
    request: Request, what: Resource, id: str, headers: ReadHeaders, min_version: int | None
) -> Response:
    """Answer with the document that has this id: 200, 304 or the problem ``not-found``."""
    return await _answer(request.app.state, what, id, headers, min_version)


async def _answer(state: Any, what: Resource, id: str, headers: ReadHeaders, min_version: int | None) -> Response:
    key = key_of(id)
    if headers is _NONE and min_version is None:
        demand = _NOTHING
    else:  # no version of what never was an id can come
        demand = demand_of(headers, state.settings, min_version if key is not None else None)
    documents: Documents = state.documents
    snapshot = await documents.read(what.model, key, demand)
    _, document = snapshot.rows[0]
    if document is None:
        raise Problem("not-found", f"{what.model} has nothing with this id.", headers=snapshot.headers)
    body = document.encode()
    answered = snapshot.headers | {"ETag": etag_of(body)}
    if headers.if_none_match is not None and _matches(answered["ETag"], headers.if_none_match):
        return Response(status_code=304, headers=answered)
    return _Document(body, answered)


class _Document(Response):
    """A JSON document that is encoded already, without the framework's care for what else a response may be."""

    def __init__(self, body: bytes, headers: Mapping[str, str]) -> None:
        self.status_code, self.background, self.body = 200, None, body
        self.raw_headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self.raw_headers += ((b"content-length", b"%d" % len(body)), (b"content-type", b"application/json"))


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
            if what is not None and query is not None and _ID.fullmatch(id):
                headers = _plain(scope["headers"])
                if headers is not None:
                    scope["route"] = what  # its template labels the request's time
                    min_version = int(query[1]) if query[1] else None
                    try:
                        response = await _answer(scope["app"].state, what, id, headers, min_version)
                    except Exception as error:
                        response = problems.answer_to(Request(scope), error)
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def _plain(lines: Iterable[tuple[bytes, bytes]]) -> ReadHeaders | None:
    """The headers that a read understands; None when one that has a single value is there twice."""
    found = [(field, value) for name, value in lines if (field := _HEADERS.get(name)) is not None]
    if not found:
        return _NONE
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


def etag_of(body: bytes) -> str:
    """A strong validator of exactly these bytes.

    Not the version: an order's page also shows its customer's name, which changes without the order.
    """
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def _matches(etag: str, if_none_match: str) -> bool:
    """Whether the caller has this state: weak comparison (RFC 9110 section 13.1.2); ``*`` is anything there is."""
    validators = _ETAG.findall(if_none_match)
    return "*" in validators or etag in validators

"""The generic resource route: one read model's row by id, its document passed through as stored.

A request comes to it by the framework, or past it (queries/shortway.py); both ways end in ``answer``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query, Request, Response
from starlette.types import Scope

from queries.documents import Documents, View
from queries.problems import Problem
from queries.tokens import Demand, ReadHeaders, demand_of

MinVersion = Annotated[int | None, Query(ge=1, lt=2**63, description="Wait until the resource has this version.")]

_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_ETAG = re.compile(r"(?:W/)?(\"[^\"]*\"|\*)")
NO_HEADERS = ReadHeaders()  # pyright: ignore[reportCallIssue]
_NOTHING = Demand()


@dataclass(frozen=True, slots=True)
class Resource:
    """What ``/<collection>/{id}`` shows: one row, by its id."""

    collection: str
    view: View
    #: What this caller (``scope["caller"]``) is shown of this id: the view, and whose rows alone; None for everybody's.
    for_caller: Callable[[Scope, str], tuple[View, int | None]] | None = None

    @property
    def path(self) -> str:
        """The route's template."""
        return f"/{self.collection}/{{id}}"

    def chosen(self, scope: Scope, id: str) -> tuple[View, int | None]:
        """The view, and whose rows alone."""
        return (self.view, None) if self.for_caller is None else self.for_caller(scope, id)


def key_of(id: str) -> int | None:
    """The row's key for an opaque id; None for a text that never was an id."""
    key = int(id) if _ID.fullmatch(id) else 0
    return key if 0 < key < 2**63 else None


async def resource(
    request: Request, what: Resource, id: str, headers: ReadHeaders, min_version: int | None
) -> Response:
    """Answer with the document that has this id: 200, 304 or the problem ``not-found``."""
    return await answer(request.scope, what, id, headers, min_version)


async def answer(scope: Scope, what: Resource, id: str, headers: ReadHeaders, min_version: int | None) -> Response:
    """The same, for a request that was let in."""
    state, key = scope["app"].state, key_of(id)
    if headers is NO_HEADERS and min_version is None:
        demand = _NOTHING
    else:  # no version of what never was an id can come
        demand = demand_of(headers, state.settings, min_version if key is not None else None)
    documents: Documents = state.documents
    view, owner = what.chosen(scope, id)
    snapshot = await documents.read(view, key, demand, owner)
    _, document = snapshot.rows[0]
    if document is None:
        raise Problem("not-found", f"{view.model} has nothing with this id.", headers=snapshot.headers)
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


def etag_of(body: bytes) -> str:
    """A strong validator of exactly these bytes.

    Not the version: an order's page also shows its customer's name, which changes without the order.
    """
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def _matches(etag: str, if_none_match: str) -> bool:
    """Whether the caller has this state: weak comparison (RFC 9110 section 13.1.2); ``*`` is anything there is."""
    validators = _ETAG.findall(if_none_match)
    return "*" in validators or etag in validators

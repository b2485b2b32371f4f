"""The generic resource route: one read model's row by id, its document passed through as stored."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated

from fastapi import Query, Request, Response

from queries.documents import Documents, View
from queries.problems import Problem
from queries.tokens import ReadHeaders, demand_of

MinVersion = Annotated[int | None, Query(ge=1, lt=2**63, description="Wait until the resource has this version.")]

_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_ETAG = re.compile(r"(?:W/)?(\"[^\"]*\"|\*)")


def key_of(id: str) -> int | None:
    """The row's key for an opaque id; None for a text that never was an id."""
    key = int(id) if _ID.fullmatch(id) else 0
    return key if 0 < key < 2**63 else None


async def resource(
    request: Request, view: View, id: str, headers: ReadHeaders, min_version: int | None, owner: int | None = None
) -> Response:
    """Answer with the document that has this id, 200 or 304, or with the problem ``not-found``.

    ``owner``: whose rows alone are there for the caller; None for everybody's.
    """
    state, key = request.app.state, key_of(id)
    # No version of what never was an id can come.
    demand = demand_of(headers, state.settings, min_version if key is not None else None)
    documents: Documents = state.documents
    snapshot = await documents.read(view, key, demand, owner)
    _, document = snapshot.rows[0]
    if document is None:
        raise Problem("not-found", f"{view.model} has nothing with this id.", headers=snapshot.headers)
    body = document.encode()
    answered = snapshot.headers | {"ETag": etag_of(body)}
    if headers.if_none_match is not None and _matches(answered["ETag"], headers.if_none_match):
        return Response(status_code=304, headers=answered)
    return Response(body, media_type="application/json", headers=answered)


def etag_of(body: bytes) -> str:
    """A strong validator of exactly these bytes.

    Not the version: an order's page also shows its customer's name, which changes without the order.
    """
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def _matches(etag: str, if_none_match: str) -> bool:
    """Whether the caller has this state: weak comparison (RFC 9110 section 13.1.2); ``*`` is anything there is."""
    validators = _ETAG.findall(if_none_match)
    return "*" in validators or etag in validators

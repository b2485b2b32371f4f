"""Refusals as RFC 9457 ``application/problem+json``: the closed list of kinds, and how exceptions become them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of problem; served as text under ``/problems/<name>``, which is the ``type`` of its answers."""

    status: int
    title: str
    #: What it means and what the caller can do.
    meaning: str


KINDS: Mapping[str, Kind] = {
    "malformed-token": Kind(
        status=400,
        title="The Readside-Token is malformed",
        meaning="Send the header's value exactly as the writer answered it: v1.<xid>.<lsn>. Tokens are not made by hand.",
    ),
    "malformed-cursor": Kind(
        status=400,
        title="The cursor is malformed",
        meaning="Send next_cursor as the previous page gave it, with the same filters; without a cursor the list begins.",
    ),
    "not-json": Kind(status=400, title="The body is not JSON", meaning="Send a JSON object as the body."),
    "unauthenticated": Kind(
        status=401,
        title="The caller is not known",
        meaning="Send a valid token: Authorization: Bearer <token>. The detail says what is wrong with the one sent.",
    ),
    "forbidden": Kind(
        status=403,
        title="The caller may not do this",
        meaning="The token is valid, and its roles do not allow it, or it belongs to somebody else; or a page of another "
        "site asks for a change.",
    ),
    "not-found": Kind(
        status=404,
        title="Not found",
        meaning="Nothing has this id in the state shown (Readside-As-Of). After a write, send its Readside-Token.",
    ),
    "too-large": Kind(status=413, title="The body is too large", meaning="The limit is the setting body_limit_bytes."),
    "invalid": Kind(
        status=422, title="The request is not valid", meaning="errors[] names each parameter or field and its fault."
    ),
    "method-not-allowed": Kind(
        status=405,
        title="The method is not allowed here",
        meaning="The Allow header names the methods that are. This server answers reads; the writer takes commands.",
    ),
    "stale-read": Kind(
        status=503,
        title="The store does not contain that write yet",
        meaning="Try again after Retry-After, wait longer with Prefer: wait=S, or take what there is with "
        "Prefer: allow-stale. expected and actual are the positions.",
    ),
    "too-many-waiting": Kind(
        status=503,
        title="Too many reads are waiting",
        meaning="Try again after Retry-After, or take what there is with Prefer: allow-stale. "
        "The bounds are the settings token_waiters and analytics_calls.",
    ),
    "too-many-streams": Kind(
        status=503,
        title="Too many event streams are open",
        meaning="Close one of them, or ask for /health now and then instead.",
    ),
    "not-granted": Kind(
        status=503,
        title="The store does not grant it to the query server",
        meaning="The detail says what its administrator has to grant.",
    ),
    "not-ready": Kind(
        status=503,
        title="The store is not filled yet",
        meaning="The projector has not finished its first snapshot; see ./readside status.",
    ),
    "store-unavailable": Kind(
        status=503, title="The serving store does not answer", meaning="See ./readside status and the store's log."
    ),
    "analytics-unavailable": Kind(
        status=503,
        title="The analytics store does not answer",
        meaning="The process `projectors analytics` is down or starting; see ./readside status.",
    ),
    "internal": Kind(status=500, title="Internal error", meaning="A fault of this server; its log has the cause."),
}

#: What the framework itself refuses: no such route, wrong method, a body that is not even text.
_FRAMEWORK = {400: "not-json", 404: "not-found", 405: "method-not-allowed"}


class Problem(HTTPException):
    """A refusal of one request; ``members`` become further members of its JSON."""

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> None:
        known = KINDS[kind]
        super().__init__(known.status, detail, headers)
        self.body: dict[str, object] = {
            "type": f"/problems/{kind}",
            "title": known.title,
            "status": known.status,
            "detail": detail,
            **members,
        }
        if errors:
            self.body["errors"] = list(errors)


def answer(body: Mapping[str, object], status: int, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as a response."""
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


def answer_to(request: Request, error: Exception) -> Response:
    """The answer to a request that failed with ``error``, where the framework is not there to give it."""
    if isinstance(error, HTTPException):
        return _refused(request, error)
    return _store_failed(request, error) if isinstance(error, psycopg.Error) else _failed(request, error)


def install(app: FastAPI) -> None:
    """Make every refusal and failure of ``app`` a problem, the framework's own too."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(psycopg.Error, _store_failed)
    app.add_exception_handler(Exception, _failed)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error, Problem):
        return answer(error.body, error.status_code, error.headers)
    kind = _FRAMEWORK.get(error.status_code, "internal")
    return _refused(request, Problem(kind, error.detail, headers=error.headers))


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if any(fault["type"] == "json_invalid" for fault in error.errors()):
        return _refused(request, Problem("not-json", "The body could not be parsed as JSON."))
    # Pydantic's `input` and `ctx` are left out: they would echo the values that were sent.
    return _refused(
        request, Problem("invalid", "errors[] says what is wrong.", errors=[_fault(fault) for fault in error.errors()])
    )


def _fault(fault: Mapping[str, Any]) -> dict[str, str]:
    """Where and what: a JSON pointer into the body, or the name of a parameter."""
    place, *path = fault["loc"]
    if place != "body":
        return {"parameter": str(path[0]), "message": fault["msg"]}
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return {"pointer": pointer, "message": fault["msg"]}


def _store_failed(request: Request, error: Exception) -> Response:
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        problem = Problem("not-ready", "The projector has not made this read model yet.", headers={"Retry-After": "1"})
    elif isinstance(error, psycopg.OperationalError):  # the pool's own errors are of this class too
        problem = Problem("store-unavailable", "Reading the store failed.", headers={"Retry-After": "1"})
    else:
        return _failed(request, error)
    logger.warning(
        "the serving store refused a read",
        extra={"action": "store_failed", "error": type(error).__name__, "route": request.url.path},
    )
    return _refused(request, problem)


def _failed(request: Request, error: Exception) -> Response:
    # The exception's text may hold row values (a constraint's detail does), so only its class is logged.
    logger.error(
        "a request failed",
        extra={"action": "request_failed", "error": type(error).__name__, "route": request.url.path},
        exc_info=None if isinstance(error, psycopg.Error) else error,
    )
    # The framework ends the connection after it has answered: the client must not send its next request into that.
    headers = {"Connection": "close"}
    return _refused(
        request, Problem("internal", "The server failed on this request; its log has the cause.", headers=headers)
    )

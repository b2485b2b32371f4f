"""What goes wrong, told as RFC 9457 problem details: every kind of problem, and the one exception that carries one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A sort of problem. Its `name` is the last part of the problem's ``type``, which answers with `advice`."""

    name: str
    status: int
    title: str
    advice: str


NOT_JSON = Kind(
    name="not-json", status=400, title="The body is not JSON", advice="Send one JSON document, encoded as UTF-8."
)
UNAUTHENTICATED = Kind(
    name="unauthenticated",
    status=401,
    title="The caller is not known",
    advice="Send a valid token: Authorization: Bearer <token>. The detail says what is wrong with the one that was sent.",
)
FORBIDDEN = Kind(
    name="forbidden",
    status=403,
    title="The caller may not do this",
    advice="The token is valid and does not allow it: its roles do not, or what is to be changed belongs to somebody else.",
)
NOT_ELIGIBLE = Kind(
    name="not-eligible",
    status=403,
    title="The customer may not order",
    advice="The customer is suspended. POST /users/{id}/reinstate lets them order again.",
)
NOT_FOUND = Kind(
    name="not-found",
    status=404,
    title="There is no such thing",
    advice="Check the address and the ids; an id is the string that the creating command answered with.",
)
METHOD_NOT_ALLOWED = Kind(
    name="method-not-allowed",
    status=405,
    title="The method is not allowed here",
    advice="The Allow header names the methods that are. This server takes commands; the query server answers reads.",
)
TOO_LARGE = Kind(
    name="too-large",
    status=413,
    title="The body is too large",
    advice="Send a smaller body; the limit is the setting body_limit_bytes.",
)
INVALID = Kind(
    name="invalid",
    status=422,
    title="The request breaks a rule",
    advice="Each entry of errors points at a place (pointer: in the body; parameter: a header) and says what is wrong.",
)
SUBTOTAL_TOO_LOW = Kind(
    name="subtotal-too-low",
    status=422,
    title="The order is too small",
    advice="Order goods for at least 1.00 before tax and shipping.",
)
KEY_REUSED = Kind(
    name="idempotency-key-reused",
    status=422,
    title="The idempotency key belongs to another request",
    advice="A key names one request to one route. Make a new key for a new request.",
)
IN_FLIGHT = Kind(
    name="in-flight",
    status=409,
    title="The same request is being carried out",
    advice="Another request with this Idempotency-Key has not ended. Retry in a moment to get its answer.",
)
VERSION_CONFLICT = Kind(
    name="version-conflict",
    status=409,
    title="The version is not current",
    advice="Someone changed it since you read it. Read it again and decide anew; actual is the current version.",
)
PRECONDITION_FAILED = Kind(
    name="precondition-failed",
    status=412,
    title="If-Match does not hold",
    advice="Someone changed it since you read it. Read it again; actual is the current version.",
)
TAKEN = Kind(
    name="taken",
    status=409,
    title="That is taken",
    advice="Choose another value; pointers in errors say for which field.",
)
ALREADY_REVIEWED = Kind(
    name="already-reviewed",
    status=409,
    title="The user has reviewed this product",
    advice="One review per user and product. DELETE /reviews/{id} removes the first one.",
)
WRONG_STATUS = Kind(
    name="wrong-status",
    status=409,
    title="The order's status forbids it",
    advice="An order goes pending, paid, shipped, delivered; it can be cancelled only while pending.",
)
INSUFFICIENT_INVENTORY = Kind(
    name="insufficient-inventory",
    status=409,
    title="Not enough in stock",
    advice="shortages names each product with what was asked and what is available. Ask for less or wait.",
)
INTERNAL = Kind(
    name="internal",
    status=500,
    title="The server failed",
    advice="Nothing was changed. The server's log has the cause under the same time and route.",
)
UNAVAILABLE = Kind(
    name="unavailable",
    status=503,
    title="The write database does not answer",
    advice="Retry after the seconds in Retry-After. With an Idempotency-Key a retry cannot repeat what may have happened.",
)

KINDS = (
    *(NOT_JSON, UNAUTHENTICATED, FORBIDDEN, NOT_ELIGIBLE, NOT_FOUND, METHOD_NOT_ALLOWED, TOO_LARGE, INVALID),
    *(SUBTOTAL_TOO_LOW, KEY_REUSED, IN_FLIGHT, VERSION_CONFLICT, PRECONDITION_FAILED, TAKEN, ALREADY_REVIEWED),
    *(WRONG_STATUS, INSUFFICIENT_INVENTORY, INTERNAL, UNAVAILABLE),
)


@dataclass(eq=False)
class Problem(Exception):
    """A refusal: raised anywhere in a command, it rolls the transaction back and becomes the answer."""

    kind: Kind
    detail: str
    #: Where a request is wrong: ``{"pointer" | "parameter": …, "message": …}`` each.
    errors: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    #: Further members of the problem, by kind (``actual``, ``shortages``).
    members: Mapping[str, object] = field(default_factory=dict[str, object])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def response(self) -> Response:
        """The problem as an HTTP response."""
        kind = self.kind
        document = {
            "type": f"/problems/{kind.name}",
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail,
            **({"errors": self.errors} if self.errors else {}),
            **self.members,
        }
        # ASCII escapes: a pointer may name a key of the body, and a key may hold what UTF-8 cannot (a lone surrogate).
        content = json.dumps(document).encode("ascii")
        return Response(content, kind.status, headers=dict(self.headers), media_type=MEDIA_TYPE)


def unknown(what: str) -> Problem:
    """There is no `what` (a word: "user") under the id given."""
    return Problem(NOT_FOUND, f"no {what} has this id")


def invalid(pointer: str, message: str) -> Problem:
    """The body is wrong at `pointer` (a JSON pointer)."""
    return Problem(INVALID, message, errors=[{"pointer": pointer, "message": message}])


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of a route's refusals: its own statuses and those that every command may answer with."""
    return refusals(*statuses, 400, 401, 403, 413, 422, 500, 503)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of these statuses as problems."""
    return {
        status: {
            "description": "; ".join(kind.title for kind in KINDS if kind.status == status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted(set(statuses))
    }


SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["/problems/insufficient-inventory"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["message"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body."},
                    "parameter": {"type": "string", "description": "The header that is wrong."},
                    "message": {"type": "string"},
                },
            },
        },
    },
}

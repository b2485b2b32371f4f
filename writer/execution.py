"""A command's way from an HTTP request to its answer: idempotency, one transaction, token.

Routes give `execute` a function of the database; all that is alike in every command happens here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import Header, Request
from pydantic import BaseModel
from starlette.responses import Response

from config.settings import Settings
from writer import idempotency
from writer.access import actor_of
from writer.constraints import constraints_explained
from writer.idempotency import Attempt
from writer.tracing import carry, traceparent_of
from writer.transaction import Database, Pool, transaction

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        description="Names this request: sent again with the same body, it is carried out once and answered alike.",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description='The version that must be current, as an entity tag: "3". Else 412.'),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What every command of one server shares."""

    pool: Pool
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A success. `body` is JSON as it goes out; None makes it 204."""

    status: int = 200
    body: dict[str, Any] | None = None
    #: Where the query server shows what was made.
    location: str | None = None

    def response(self, token: str) -> Response:
        """The answer as an HTTP response that carries the write's token."""
        headers = {"Readside-Token": token}
        if self.location is not None:
            headers["Location"] = self.location
        if self.body is None:
            return Response(status_code=204, headers=headers)
        if "version" in self.body:
            headers["ETag"] = f'"{self.body["version"]}"'
        return Response(json.dumps(self.body), self.status, headers=headers, media_type="application/json")


def created(body: dict[str, Any], location: str | None = None) -> Answer:
    """201: the command made something new."""
    return Answer(status=201, body=body, location=location)


def execute(
    request: Request,
    command: Callable[[Database], Answer],
    *,
    key: str | None = None,
    body: BaseModel | None = None,
) -> Response:
    """Run `command` in one transaction, or answer as the first request with this idempotency `key` was answered."""
    shop: Shop = request.app.state.shop
    actor = actor_of(request)
    actor.require_own_body(body)
    attempt = None if key is None else _attempt(request, key, body, shop.settings)
    trace = traceparent_of(request.scope["headers"])
    with constraints_explained(), transaction(shop.pool) as tx:
        if attempt is None:
            answer = command(tx.db)
            actor.require_looked()
        elif memory := idempotency.recall(tx.db, attempt):
            answer = Answer(**memory.answer)
            tx.xid = memory.xid
        else:
            answer = command(tx.db)
            actor.require_looked()
            idempotency.keep(tx.db, attempt, asdict(answer))
        if trace is not None and tx.xid is None:
            carry(tx.db, trace)
    return answer.response(tx.token)


def _attempt(request: Request, key: str, body: BaseModel | None, settings: Settings) -> Attempt:
    content = "" if body is None else body.model_dump_json()
    return Attempt(
        key=key,
        caller=actor_of(request).name,
        route=f"{request.method} {request.url.path}",
        fingerprint=hashlib.sha256(content.encode()).digest(),
        ttl_s=settings.idempotency_ttl_s,
    )

"""Who may give which command: the one table, and how it is kept. A route that is not in it is refused to everybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from config.identity import Identity, Role, Unidentified
from writer.problems import FORBIDDEN, UNAUTHENTICATED, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who may take a route besides operators, and how it is known that they act on what is theirs."""

    role: Role = "operator"
    #: No token is asked for, nor looked at.
    anybody: bool = False
    #: The parameter of the path that must be the caller's own id.
    path: str | None = None
    #: The field of the body that must be the caller's own id.
    body: str | None = None
    #: The command looks at the row it has locked, and says so by `Actor.owns`; one that does not is refused at its end.
    row: bool = False


ANYBODY: Final = Rule(anybody=True)
OPERATOR: Final = Rule()


def customer(*, path: str | None = None, body: str | None = None, row: bool = False) -> Rule:
    """A user as themselves: their ``sub`` is the user's id."""
    return Rule(role="customer", path=path, body=body, row=row)


def seller(*, row: bool) -> Rule:
    """A seller with their own products: their ``sub`` is the seller's id."""
    return Rule(role="seller", row=row)


RULES: Mapping[str, Rule] = {
    "POST /users": OPERATOR,
    "PATCH /users/{user_id}": customer(path="user_id"),  # but not their loyalty tier
    "POST /users/{user_id}/suspend": OPERATOR,
    "POST /users/{user_id}/reinstate": OPERATOR,
    "PUT /users/{user_id}/following/{other_id}": customer(path="user_id"),
    "DELETE /users/{user_id}/following/{other_id}": customer(path="user_id"),
    "POST /posts": customer(body="author_id"),
    "PATCH /posts/{post_id}": customer(row=True),
    "DELETE /posts/{post_id}": customer(row=True),
    "POST /posts/{post_id}/comments": customer(body="author_id"),
    "DELETE /comments/{comment_id}": customer(row=True),
    "POST /sellers": OPERATOR,
    "POST /categories": OPERATOR,
    "POST /products": OPERATOR,
    "PATCH /products/{product_id}/price": seller(row=True),
    "PATCH /products/{product_id}/stock": seller(row=True),
    "PUT /products/{product_id}/related": seller(row=True),
    "POST /reviews": customer(body="user_id"),
    "DELETE /reviews/{review_id}": customer(row=True),
    "POST /orders": customer(body="customer_id"),
    "POST /orders/{order_id}/pay": OPERATOR,
    "POST /orders/{order_id}/ship": OPERATOR,
    "POST /orders/{order_id}/deliver": OPERATOR,
    "POST /orders/{order_id}/cancel": customer(row=True),
    "PUT /orders/{order_id}/shipping-address": customer(row=True),
    "GET /metrics": OPERATOR,
    "GET /livez": ANYBODY,
    "GET /readyz": ANYBODY,
    "GET /docs": ANYBODY,
    "GET /problems/{name}": ANYBODY,
}


@dataclass(slots=True, kw_only=True)
class Actor:
    """Whoever gives a command, in the role that lets them."""

    role: Role
    sub: str
    rule: Rule
    _looked: bool = False

    @property
    def may_all(self) -> bool:
        """Whether other people's things are theirs to change too."""
        return self.role == "operator"

    @property
    def name(self) -> str:
        """Tells them from everybody else: a customer and a seller may have the same id. Empty on an open server."""
        return f"{self.role} {self.sub}" if self.sub else ""

    def owns(self, id: int | str) -> bool:
        """Whether what belongs to the user or seller with this id is theirs to change."""
        self._looked = True
        return self.may_all or str(id) == self.sub

    def require_own(self, id: int | str, what: str) -> None:
        """Refuse what belongs to somebody else; not for what they must not even know of."""
        if not self.owns(id):
            raise forbidden(f"{what} belongs to somebody else")

    def require_own_body(self, body: BaseModel | None) -> None:
        """Refuse a body that names somebody else where the rule says whom it must name."""
        if (field := self.rule.body) is not None:
            self.require_own(getattr(body, field, ""), f"what {field} names")

    def require_looked(self) -> None:
        """Refuse a command that was to look whose row it changes, and ended without."""
        if self.rule.row and not (self.may_all or self._looked):
            raise forbidden("nothing has shown that it belongs to the caller")


class Guarded(APIRoute):
    """A route that lets in whom `RULES` names, before anything of the request but its head is read."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it with 401 or 403."""
        if scope["method"] in self.methods:
            scope["actor"] = _admitted(scope, RULES.get(f"{scope['method']} {self.path}"))
        await super().handle(scope, receive, send)


def _admitted(scope: Scope, rule: Rule | None) -> Actor | None:
    """The caller as what the rule lets them be; None where nobody asks. Raises `Problem`."""
    if rule is None:
        raise forbidden("no rule says who may do this; it needs a line in writer/access.py")
    if rule.anybody:
        return None
    identity: Identity = scope["app"].state.identity
    try:
        caller = identity.required(scope["headers"])
    except Unidentified as error:
        raise Problem(UNAUTHENTICATED, error.detail, headers={"WWW-Authenticate": error.challenge}) from None
    if "operator" in caller.roles:
        return Actor(role="operator", sub=caller.sub, rule=rule)
    if rule.role not in caller.roles:
        raise forbidden(f"it takes the role {rule.role}" + ("" if rule.role == "operator" else " or operator"))
    actor = Actor(role=rule.role, sub=caller.sub, rule=rule)
    if rule.path is not None:
        actor.require_own(scope["path_params"][rule.path], "it")
    return actor


def actor_of(request: Request) -> Actor:
    """Whoever gives this command. Raises where no guard has let them in."""
    actor: Actor | None = request.scope.get("actor")
    if actor is None:
        raise forbidden("no rule lets anybody give this command")
    return actor


def forbidden(detail: str) -> Problem:
    """403: the caller is known and may not."""
    return Problem(FORBIDDEN, detail)

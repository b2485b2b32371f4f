"""Who may read what: the one table, and how it is kept. A route that is not in it is refused to everybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastapi.routing import APIRoute
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from config.identity import Caller, Identity, Role, Unidentified
from queries.problems import Problem
from queries.resources import key_of
from queries.sites import require_same_site

NO_USER = 0  # the id of none

#: Of an answer that is for its caller: no cache may give it to somebody else.
PRIVATE: Mapping[str, str] = {"Vary": "Authorization", "Cache-Control": "private"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who may read a route besides operators."""

    role: Role = "operator"
    #: The parameter of the path that must be the caller's own id.
    own: str | None = None
    #: Everybody may; what they are shown may depend on who they are.
    anybody: bool = False
    #: A token is looked at. Where it is not, the answer is the same for all.
    asks: bool = True
    #: It changes something: pages of other sites may not ask for it, in whose browser ever.
    changes: bool = False


PUBLIC: Final = Rule(anybody=True, asks=False)
OPERATOR: Final = Rule()
ANALYST: Final = Rule(role="analyst")
OWN: Final = Rule(role="customer", own="id")

RULES: Mapping[str, Rule] = {
    "GET /products": PUBLIC,
    "GET /products/{id}": PUBLIC,
    "GET /posts": PUBLIC,
    "GET /posts/{id}": PUBLIC,
    "GET /posts/{id}/comments": PUBLIC,
    "GET /users/{id}/posts": PUBLIC,
    "GET /users/{id}": Rule(anybody=True),  # its private fields only to the user and to operators: `shows_private`
    "GET /users/{id}/orders": OWN,
    "GET /users/{id}/feed": OWN,
    "GET /orders/{id}": Rule(role="customer"),  # the statement that reads it looks whose it is: `whose`
    "GET /orders": OPERATOR,
    "GET /analytics/orders/summary": ANALYST,
    "GET /analytics/orders/hourly": ANALYST,
    "POST /sql": ANALYST,
    "GET /": PUBLIC,  # the page itself, which shows nothing before it has asked /events with a token
    "GET /assets/{version}/{name}": PUBLIC,
    "GET /events": OPERATOR,
    "GET /health": OPERATOR,
    "GET /dead-letters": OPERATOR,
    "POST /dead-letters/retry": Rule(changes=True),
    "GET /metrics": OPERATOR,
    "GET /livez": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /docs": PUBLIC,
    "GET /problems/{kind}": PUBLIC,
}


class Guarded(APIRoute):
    """A route that lets in whom `RULES` names, before anything of the request but its head is read."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it with 401 or 403."""
        if scope["method"] not in self.methods:
            return await super().handle(scope, receive, send)
        await super().handle(scope, receive, admit(scope, send, f"{scope['method']} {self.path}"))


def admit(scope: Scope, send: Send, route: str) -> Send:
    """Let the caller in, who is in ``scope["caller"]`` then, and give the way to answer them. Raises `Problem`."""
    rule = RULES.get(route)
    if rule is None:
        raise Problem("forbidden", "No rule says who may read this; it needs a line in queries/access.py.")
    if not rule.asks:
        return send
    identity: Identity = scope["app"].state.identity
    if rule.changes:
        require_same_site(scope["headers"], open_to_all=not identity.asks)
    scope["caller"] = _admitted(identity, scope, rule)
    return _private(send) if identity.asks else send


def _admitted(identity: Identity, scope: Scope, rule: Rule) -> Caller | None:
    """Whoever calls, if the rule lets them. Raises `Problem`."""
    try:
        caller = identity.caller(scope["headers"]) if rule.anybody else identity.required(scope["headers"])
    except Unidentified as error:
        headers = {"WWW-Authenticate": error.challenge, **PRIVATE}
        raise Problem("unauthenticated", f"{error.detail[0].upper()}{error.detail[1:]}.", headers=headers) from None
    if caller is None or rule.anybody or "operator" in caller.roles:
        return caller
    if rule.role not in caller.roles:
        either = "" if rule.role == "operator" else " or operator"
        raise Problem("forbidden", f"It takes the role {rule.role}{either}.", headers=PRIVATE)
    if rule.own is not None and scope["path_params"][rule.own] != caller.sub:
        raise Problem("forbidden", "It belongs to somebody else.", headers=PRIVATE)
    return caller


def _private(send: Send) -> Send:
    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(PRIVATE)
        await send(message)

    return marked


def whose(scope: Scope) -> int | None:
    """The user whose rows alone the caller is shown; None for operators, who are shown everybody's."""
    caller: Caller | None = scope.get("caller")
    if caller is not None and "operator" in caller.roles:
        return None
    return (key_of(caller.sub) if caller is not None and "customer" in caller.roles else None) or NO_USER


def shows_private(scope: Scope, user_id: str) -> bool:
    """Whether the caller is shown the private fields of this user: it is they, or an operator."""
    user = whose(scope)
    return user is None or (user != NO_USER and user == key_of(user_id))

"""Who may read what: every role at every route, what is theirs and what is not (CONTRACT.md, 7)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from config.settings import Settings
from queries import access
from stack.bearer import advice as bearer_advice
from stack.errors import StackError
from stack.sql import asking
from tests.queries.harness import Api, Projector, serving
from tests.tokens import SECRET, bearer, token

OWN, OTHER = "1", "2"

CALLERS: dict[str, dict[str, str]] = {
    "nobody": {},
    "a bearer without roles": bearer(sub=OWN),
    "the customer": bearer("customer", sub=OWN),
    "another customer": bearer("customer", sub=OTHER),
    "a customer of no number": bearer("customer", sub="ada"),
    "a seller": bearer("seller", sub=OWN),
    "an analyst": bearer("analyst", sub=OWN),
    "an operator": bearer("operator", sub="ops"),
}
EVERYBODY, OPERATOR = tuple(CALLERS), ("an operator",)
ANALYST, CUSTOMER = ("an analyst", "an operator"), ("the customer", "an operator")
STRANGE = ("another customer", "a customer of no number")

#: Route: a request of it about what is the customer's; who is answered; and who gets 404, as for what is not there.
#: Whoever else has a token gets 403, and without one 401.
MATRIX: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "GET /products": ("/products", EVERYBODY, ()),
    "GET /products/{id}": ("/products/5", EVERYBODY, ()),
    "GET /posts": ("/posts", EVERYBODY, ()),
    "GET /posts/{id}": ("/posts/4", EVERYBODY, ()),
    "GET /posts/{id}/comments": ("/posts/4/comments", EVERYBODY, ()),
    "GET /users/{id}": ("/users/1", EVERYBODY, ()),
    "GET /users/{id}/posts": ("/users/1/posts", EVERYBODY, ()),
    "GET /users/{id}/orders": ("/users/1/orders", CUSTOMER, ()),
    "GET /users/{id}/feed": ("/users/1/feed", CUSTOMER, ()),
    "GET /orders/{id}": ("/orders/7", CUSTOMER, STRANGE),
    "GET /orders": ("/orders", OPERATOR, ()),
    "GET /analytics/orders/summary": ("/analytics/orders/summary", ANALYST, ()),
    "GET /analytics/orders/hourly": ("/analytics/orders/hourly?start=2026-01-01", ANALYST, ()),
    "POST /sql": ("/sql", ANALYST, ()),
    "GET /health": ("/health", OPERATOR, ()),
    "GET /events": ("/events", OPERATOR, ()),
    "GET /dead-letters": ("/dead-letters", OPERATOR, ()),
    "POST /dead-letters/retry": ("/dead-letters/retry", OPERATOR, ()),
    "GET /metrics": ("/metrics", OPERATOR, ()),
    "GET /livez": ("/livez", EVERYBODY, ()),
    "GET /readyz": ("/readyz", EVERYBODY, ()),
    "GET /problems/{kind}": ("/problems/forbidden", EVERYBODY, ()),
}
UNLISTED = ("/", "/docs", "/openapi.json")
BODIES = {
    "POST /sql": {"sql": "select 1"},
    "POST /dead-letters/retry": {"letters": [{"store": "serving", "id": "t[0]@1"}]},
}
#: Their answers are the same for everybody, who may therefore share them.
SHARED = {route for route, (_, who, _) in MATRIX.items() if who == EVERYBODY} - {"GET /users/{id}"}

KINDS = {401: "unauthenticated", 403: "forbidden", 404: "not-found"}
PRIVATE_FIELDS = {"email", "order_count", "lifetime_value"}


@pytest.fixture
def api(projector: Projector, settings: Settings) -> Iterator[Api]:
    """A query server that asks for tokens, on a store with something of the customer's in every read model."""
    public = {"id": OWN, "full_name": "Ada Lovelace"}
    private = {"email": "ada@example.org", "order_count": 1, "lifetime_value": "10.00"}
    projector.put("user_profile", id=1, version=3, document={**public, **private})
    projector.conn.execute("update read_models.user_profile set public = document - %s::text[]", [list(PRIVATE_FIELDS)])
    projector.put("order_details", id=7, version=3, user_id=1)
    projector.put("post_with_comments", id=4, version=1)
    projector.put("product_page", id=5, version=1)
    guarded = settings.model_copy(update={"auth": "jwt", "jwt_key": SecretStr(SECRET)})
    with serving(guarded) as running:
        yield running


def ask(api: Api, route: str, headers: dict[str, str], path: str = "") -> httpx.Response:
    method, path = route.split()[0], path or MATRIX[route][0]
    with api.http.stream(method, path, json=BODIES.get(route), headers=headers) as answer:
        if "event-stream" not in answer.headers.get("Content-Type", ""):  # which has no end
            answer.read()
        return answer


def kind(answer: httpx.Response) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.json()["type"].removeprefix("/problems/")


@pytest.mark.parametrize("way", ["", "?way=long"])
def test_every_role_at_every_route(api: Api, way: str) -> None:
    """Also on the way that plain requests do not take (queries/shortway.py)."""
    for route, (path, answered, unaware) in MATRIX.items():
        for caller, headers in CALLERS.items():
            answer = ask(api, route, headers, path if "?" in path else path + way)
            if caller in answered:  # nothing runs that would answer for the analytics store
                well = 503 if answered == ANALYST else 202 if route == "POST /dead-letters/retry" else 200
                assert answer.status_code == well, f"{route} {caller}"
            else:
                expected = 404 if caller in unaware else 401 if caller == "nobody" else 403
                assert (answer.status_code, kind(answer)) == (expected, KINDS[expected]), f"{route} {caller}"
            challenge = answer.headers.get("WWW-Authenticate")
            assert challenge == ('Bearer realm="readside"' if answer.status_code == 401 else None)
            marks = answer.headers.get("Vary"), answer.headers.get("Cache-Control")
            assert marks == ((None, None) if route in SHARED else ("Authorization", "private")), f"{route} {caller}"


def test_the_matrix_has_every_route(api: Api) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    assert MATRIX.keys() == {f"{method.upper()} {path}" for path, routes in paths.items() for method in routes}
    for path in UNLISTED:
        assert api.get(path).status_code == 200


def test_who_calls_is_settled_before_what_they_ask(api: Api) -> None:
    for route, (path, answered, _) in MATRIX.items():
        method = route.split()[0]
        for caller in ("nobody", "a bearer without roles"):
            headers = {**CALLERS[caller], "Readside-Token": "x", "Content-Type": "application/json"}
            answer = api.http.request(
                method, f"{path}?limit=x&cursor=x&start=x&min_version=x", content=b"{", headers=headers
            )
            assert caller in answered or answer.status_code == (401 if caller == "nobody" else 403), route


def test_private_fields_are_shown_to_the_user_and_to_operators(api: Api) -> None:
    for caller, headers in CALLERS.items():
        profile = api.get("/users/1", headers).json()
        assert profile["full_name"] == "Ada Lovelace"
        assert PRIVATE_FIELDS.intersection(profile) == (PRIVATE_FIELDS if caller in CUSTOMER else set()), caller
    for id in ("01", "2", "x"):
        assert api.get(f"/users/{id}", CALLERS["the customer"]).status_code == 404


def test_somebody_elses_order_is_like_none(api: Api, projector: Projector) -> None:
    """In what is answered, in when, and whatever the reader has or waits for."""
    tag = api.get("/orders/7", CALLERS["the customer"]).headers["ETag"]
    for caller in STRANGE:
        for demands in ({}, {"If-None-Match": "*"}, {"If-None-Match": tag}, {"Readside-Token": "v1..0/100"}):
            answers = [api.get(f"/orders/{id}", {**CALLERS[caller], **demands}) for id in (7, 8, "x")]
            assert [answer.status_code for answer in answers] == [404] * 3
            assert len({answer.content for answer in answers}) == 1
            assert len({tuple(sorted(answer.headers.keys())) for answer in answers}) == 1
    for prefer in ("wait=0.3", "wait=0.3, allow-stale"):
        took, answers = [], []
        for id in (7, 8):
            began = time.monotonic()
            headers = {**CALLERS["another customer"], "Prefer": prefer}
            answers.append(api.get(f"/orders/{id}", headers, min_version=1))
            took.append(time.monotonic() - began)
        assert min(took) > 0.29
        assert len({(answer.status_code, answer.text.partition("actual")[0]) for answer in answers}) == 1
    projector.put("order_details", id=9, version=1, user_id=2)
    assert api.get("/orders/9", CALLERS["another customer"], min_version=1).status_code == 200


def test_what_one_has_is_not_confirmed_to_another(api: Api) -> None:
    """An ETag of the whole profile is not one of what everybody is shown of it."""
    private = api.get("/users/1", CALLERS["the customer"]).headers["ETag"]
    public = api.get("/users/1").headers["ETag"]
    assert private != public
    seen = {
        (caller, tag): api.get("/users/1", {**CALLERS[caller], "If-None-Match": tag}).status_code
        for caller in ("nobody", "the customer")
        for tag in (private, public)
    }
    assert list(seen.values()) == [200, 304, 304, 200]
    again = api.get("/users/1", {**CALLERS["the customer"], "If-None-Match": private})
    assert (again.headers["Vary"], again.headers["Cache-Control"]) == ("Authorization", "private")


@pytest.mark.parametrize(
    "bad",
    [
        token("operator", expires_s=-60),
        token("operator", sub=None),
        token("operator", key="another-secret" * 4),
        token(roles="operator"),
        "nonsense",
        "x" * 20_000,
    ],
    ids=["expired", "no sub", "wrong key", "roles", "nonsense", "huge"],
)
def test_a_bad_token_is_worse_than_none(api: Api, caplog: pytest.LogCaptureFixture, bad: str) -> None:
    for path in ("/users/1", "/orders/7", "/health"):
        refused = api.get(path, {"Authorization": f"Bearer {bad}"})
        assert (refused.status_code, kind(refused)) == (401, "unauthenticated")
        assert refused.headers["WWW-Authenticate"] == 'Bearer realm="readside", error="invalid_token"'
        assert bad not in refused.text
    assert api.get("/products", {"Authorization": f"Bearer {bad}"}).status_code == 200
    said = caplog.text + repr([vars(record) for record in caplog.records])
    assert bad not in said
    assert SECRET not in said


def test_readsides_own_commands_send_their_token_and_say_what_they_lack(api: Api) -> None:
    for given, said in (
        (None, "set READSIDE_TOKEN"),
        (token("analyst", expires_s=-60), "has expired.*set READSIDE_TOKEN"),
        (token("customer"), "use one of an operator"),
        (token("analyst"), "analytics store does not answer"),  # it is let in
    ):
        with pytest.raises(StackError, match=said) as error:
            asking.ask(api.settings.model_copy(update={"token": given and SecretStr(given)}), "select 1")
        assert given is None or given not in str(error.value)


def test_no_token_is_asked_for_where_none_would_help(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    given = api.settings.model_copy(update={"token": SecretStr("")})
    with pytest.raises(StackError, match="the server asks for a token: set READSIDE_TOKEN"):
        asking.ask(given, "select 1")
    assert bearer_advice(403, "/problems/forbidden") and not bearer_advice(403, "/problems/not-allowed")


def test_what_is_wrong_with_a_request_is_said_whole(api: Api) -> None:
    with pytest.raises(StackError, match=r"The request is not valid: /sql: .+ at least 1 character"):
        asking.ask(api.settings.model_copy(update={"token": SecretStr(token("operator"))}), "")


def test_a_route_without_a_rule_is_refused_to_all(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "RULES", {})
    for headers in CALLERS.values():
        assert kind(api.get("/livez", headers)) == "forbidden"


def test_an_open_server_asks_nobody(projector: Projector, settings: Settings) -> None:
    projector.put("order_details", id=7, version=3, user_id=1)
    projector.put("user_profile", id=1, version=3, document={"email": "ada@example.org"})
    with serving(settings) as api:
        for headers in ({}, {"Authorization": "Bearer nonsense"}):
            assert api.get("/orders/7", headers).status_code == 200
            assert api.get("/users/1", headers).json() == {"email": "ada@example.org"}
        assert "Vary" not in api.get("/orders/7").headers

"""One resource by id: the document as stored, when it is true for, and what is refused."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import httpx

from tests.queries.harness import Api, Projector

ORDER = {"id": "7", "number": "SO-7", "total": "10.00", "currency": "EUR", "customer": {"name": "Zoë"}, "version": 3}


def test_the_document_goes_out_as_stored(api: Api, projector: Projector) -> None:
    projector.put("order_details", id=7, version=3, document=ORDER)
    answer = api.get("/orders/7")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json() == ORDER


def test_every_answer_says_when_it_is_true_for(api: Api, projector: Projector) -> None:
    projector.apply("0/200", order_details={"id": 7, "version": 1}, user_profile={"id": 7, "version": 1})
    for path, status in (
        ("/orders/7", 200),
        ("/users/7", 200),
        ("/orders", 200),
        ("/users/7/orders", 200),
        ("/orders/8", 404),
    ):
        answer = api.get(path)
        assert answer.status_code == status
        as_of = datetime.fromisoformat(answer.headers["Readside-As-Of"])
        assert answer.headers["Readside-As-Of"].endswith("Z")
        assert datetime.now(UTC) - as_of < timedelta(minutes=1)
        assert 0 <= int(answer.headers["Readside-Lag-Ms"]) < 60_000


def test_answers_say_so_when_something_they_read_is_parked(api: Api, projector: Projector) -> None:
    projector.apply("0/200", order_details={"id": 7, "version": 1}, user_profile={"id": 7, "version": 1})
    projector.conn.execute(
        "insert into readside.declared (name, parked, dead_letters) values "
        "('order_details', null, 3), ('user_profile', 'why', 0), ('order_list_item', null, 0)"
    )
    told = {path: api.get(path).headers.get("Readside-Incomplete") for path in ("/orders/7", "/users/7", "/orders")}
    assert told == {"/orders/7": "3 dead letters", "/users/7": "parked", "/orders": None}


def test_the_lag_is_never_negative(api: Api, projector: Projector) -> None:
    projector.conn.execute("update readside.checkpoint set committed_at = now() + interval '1 hour'")
    assert api.get("/orders").headers["Readside-Lag-Ms"] == "0"


def test_no_read_fails_when_a_next_version_gives_a_column_another_type(api: Api, projector: Projector) -> None:
    projector.put("order_details", id=7, version=3, document=ORDER)
    projector.put("order_list_item", id=7, user_id=1, status="paid", placed_at="2026-01-01", document=ORDER)
    paths = ("/orders/7", "/orders")
    before = [api.get(path).status_code for path in paths for _ in range(30)]  # prepared on every connection by now
    projector.conn.execute("alter table read_models.order_details alter version type int")
    projector.conn.execute("alter table read_models.order_list_item alter placed_at type timestamp")
    assert [api.get(path).status_code for path in paths for _ in range(30)] == before


def test_an_unknown_id_is_not_found(api: Api, projector: Projector) -> None:
    projector.apply("0/200", order_details={"id": 7, "version": 1}, user_profile={"id": 7, "version": 1})
    for id in ("8", "x", "-7", "07", "7.0", "9" * 30, "9223372036854775808", "%F0%9F%98%80", "0", "%D9%A7", "7%00"):
        for path in (f"/orders/{id}", f"/users/{id}", f"/users/{id}/orders"):
            answer = api.get(path)
            assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json"), path
            assert answer.json()["type"] == "/problems/not-found"


def test_the_type_of_a_problem_explains_it(api: Api) -> None:
    assert "Readside-Token" in api.get(api.get("/orders/8").json()["type"]).text
    assert api.get("/problems/none").status_code == 404


def test_the_same_state_is_not_sent_twice(api: Api, projector: Projector) -> None:
    projector.put("order_details", id=7, version=3, document=ORDER)
    etag = api.get("/orders/7").headers["ETag"]
    for validator in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        again = api.get("/orders/7", headers={"If-None-Match": validator})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
        assert "Readside-As-Of" in again.headers
    assert api.get("/orders/7", headers={"If-None-Match": '"other"'}).status_code == 200
    assert api.get("/orders/8", headers={"If-None-Match": "*"}).status_code == 404


def test_the_etag_changes_with_the_document_even_when_the_version_does_not(api: Api, projector: Projector) -> None:
    projector.put("order_details", id=7, version=3, document=ORDER)
    before = api.get("/orders/7").headers["ETag"]
    projector.put("order_details", id=7, version=3, document={**ORDER, "customer": {"name": "Zoé"}})
    assert api.get("/orders/7", headers={"If-None-Match": before}).status_code == 200


def test_an_unfinished_first_snapshot_is_not_shown(api: Api, projector: Projector) -> None:
    projector.conn.execute("update readside.checkpoint set phase = 'snapshot', committed_at = null, end_lsn = null")
    for path in ("/orders/7", "/orders", "/readyz"):
        answer = api.get(path)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")
        assert "Retry-After" in answer.headers
    assert api.get("/livez").status_code == 200


def test_a_store_without_the_projectors_tables_is_not_ready(api: Api, projector: Projector) -> None:
    projector.conn.execute("drop schema readside cascade")
    assert api.get("/readyz").json()["type"] == "/problems/not-ready"


def test_the_short_way_answers_as_the_framework_does(api: Api, projector: Projector) -> None:
    """A parameter that no route knows sends a request the framework's way."""
    row = {"id": 7, "version": 3, "document": ORDER}
    models = ("order_details", "user_profile", "product_page", "post_with_comments")
    projector.apply("0/100", **{model: row for model in models})
    paths = [f"/{name}/7" for name in ("orders", "users", "products", "posts")] + [
        "/orders/8",
        "/orders/9223372036854775808",
    ]
    requests: list[list[tuple[str, str]]] = [
        [],
        [("If-None-Match", "*")],
        [("If-None-Match", '"other"'), ("If-None-Match", "*")],
        [("READSIDE-TOKEN", "v1..0/100")],
        [("Readside-Token", "v1..0/200"), ("Prefer", "wait=0")],
        [("Readside-Token", "v1..0/200"), ("Prefer", "wait=0"), ("Prefer", "allow-stale")],
        [("Readside-Token", "v1..0/100"), ("Readside-Token", "yesterday")],
        [("Readside-Token", "yesterday")],
        [("Readside-Token", "")],
        [("Prefer", "n\xf6"), ("If-None-Match", "\xff")],
    ]
    queries = ("", "min_version=3", "min_version=4", "min_version=0", "min_version=x", "min_version=3&min_version=1")
    for path, headers, query in itertools.product(paths, requests, queries):
        sent = [(name.encode(), value.encode("latin-1")) for name, value in [*headers, ("Prefer", "wait=0")]]
        short, long = (api.http.get(f"{path}?{query}{more}", headers=sent) for more in ("", "&unknown=1"))
        assert seen(short) == seen(long), (path, headers, query)


def seen(answer: httpx.Response) -> tuple[object, ...]:
    """What a caller sees of an answer, but for the time."""
    times = {"date", "readside-lag-ms"}
    return answer.status_code, {name: value for name, value in answer.headers.items() if name not in times}, answer.text


def test_a_column_that_stands_beside_the_document_is_a_member_of_it(api: Api, projector: Projector) -> None:
    projector.put("product_page", id=7, version=1, document={"id": "7", "name": "Säge"}, seller='{"id": "1"}')
    answer = api.get("/products/7")
    assert answer.json() == {"id": "7", "name": "Säge", "seller": {"id": "1"}}
    projector.put("product_page", id=7, version=1, document={"id": "7", "name": "Säge"}, seller='{"id": "2"}')
    assert api.get("/products/7").headers["ETag"] != answer.headers["ETag"]

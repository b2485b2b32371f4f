"""Dead letters over HTTP: a list without values, and a retry that is noted by a role that can write no table."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from tests.queries.harness import Api, Projector
from tests.shop import Shop

TOPIC = "shop.public.orders"
ID = f"{TOPIC}[0]@41"
RETRY = "/dead-letters/retry"


@pytest.fixture
def letter(projector: Projector) -> None:
    """Two in the serving store."""
    projector.conn.execute(
        """insert into readside.dead_letters (topic, partition, "offset", "table", reason, key, "order")
           values (%(topic)s, 0, 42, 'public.orders', 'behind', '{"id": "4242"}', 1),
                  (%(topic)s, 0, 41, 'public.orders', 'not a number', '{"id": "4242"}', 0)""",
        {"topic": TOPIC},
    )


def asked(projector: Projector) -> list[Any]:
    rows = projector.conn.execute('select "offset", asked from readside.dead_letters order by 1').fetchall()
    return [list(row) for row in rows]


def retry(api: Api, *ids: str, store: str = "serving", headers: dict[str, str] | None = None) -> Any:
    body = {"letters": [{"store": store, "id": id} for id in ids]}
    return api.http.post(RETRY, json=body, headers=headers)


@pytest.mark.usefixtures("letter")
def test_the_list_is_in_the_order_of_commits_and_without_values(api: Api, shop: Shop) -> None:
    answer = api.get("/dead-letters")
    assert (answer.status_code, answer.json()["silent"]) == (200, [])
    items = answer.json()["items"]
    assert [(item["store"], item["id"], item["reason"]) for item in items] == [
        ("serving", ID, "not a number"),
        ("serving", f"{TOPIC}[0]@42", "behind"),
    ]
    assert items[0]["key_hash"] == items[1]["key_hash"]
    assert "4242" not in answer.text.replace(items[0]["key_hash"], "") and "secret" not in answer.text


@pytest.mark.usefixtures("letter")
def test_a_store_that_does_not_answer_is_named(api: Api) -> None:
    answer = api.get("/dead-letters").json()
    assert (len(answer["items"]), answer["silent"]) == (2, ["analytics"])


@pytest.mark.usefixtures("letter")
def test_a_retry_is_noted_for_the_projector(api: Api, projector: Projector) -> None:
    answer = retry(api, ID, f"{TOPIC}[0]@7")
    assert answer.status_code == 202
    assert answer.json() == {
        "asked": [{"store": "serving", "id": ID}],
        "missing": [{"store": "serving", "id": f"{TOPIC}[0]@7"}],
    }
    assert asked(projector) == [[41, "retry"], [42, None]]


def test_the_analytics_store_is_asked_over_its_endpoint(api: Api, shop: Shop) -> None:
    answer = retry(api, ID, store="analytics")
    assert (answer.status_code, answer.json()["asked"]) == (202, [])


def test_a_store_that_cannot_be_asked_is_a_problem(api: Api) -> None:
    answer = retry(api, ID, store="analytics")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/analytics-unavailable")


@pytest.mark.usefixtures("letter")
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example:8002", "Origin": "http://evil.example:8002"},
    ],
    ids=["cross-site", "same-site", "origin", "null", "rebound"],
)
def test_a_page_of_another_site_may_not_ask(api: Api, projector: Projector, headers: dict[str, str]) -> None:
    answer = retry(api, ID, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")
    assert asked(projector) == [[41, None], [42, None]]


@pytest.mark.usefixtures("letter")
def test_a_form_cannot_ask_and_the_page_itself_can(api: Api, projector: Projector) -> None:
    body = json.dumps({"letters": [{"store": "serving", "id": ID}]})
    for media_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = api.http.post(RETRY, content=body, headers={"Content-Type": media_type} if media_type else {})
        assert answer.status_code == 422, media_type
    assert asked(projector) == [[41, None], [42, None]]
    own = {"Origin": str(api.http.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    assert retry(api, ID, headers=own).status_code == 202


@pytest.mark.parametrize("id", ["nothing", f"{TOPIC}[0]@{2**63}", f"{TOPIC}[{2**31}]@1", f"{TOPIC}[0]@-1"])
def test_what_is_no_letter_is_refused(api: Api, id: str) -> None:
    answer = retry(api, id)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")


@pytest.mark.usefixtures("letter")
def test_the_role_may_ask_and_nothing_else(api: Api, projector: Projector) -> None:
    dsn = api.settings.queries_dsn
    assert dsn is not None
    with psycopg.connect(dsn.get_secret_value(), autocommit=True) as reader:
        reader.execute("set default_transaction_read_only = off")
        for statement in (
            "update readside.dead_letters set asked = 'drop'",
            "delete from readside.dead_letters",
            "insert into readside.dead_letters values ('t', 0, 1)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)
        assert reader.execute("select readside.ask_for_retry(%s, 0, 41)", [TOPIC]).fetchone() == (True,)
    projector.conn.execute("revoke execute on function readside.ask_for_retry from readside_queries")
    answer = retry(api, ID)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-granted")
    projector.conn.execute("drop function readside.ask_for_retry")
    assert retry(api, ID).json()["type"] == "/problems/not-ready"

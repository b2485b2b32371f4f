"""Lists: every row once over the pages, filters, search of any text, and what a wrong parameter is answered."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta

import pytest

from queries import cursors
from queries.problems import Problem
from tests.queries.harness import Api, Projector

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def put(
    projector: Projector, id: int, *, at: datetime = NOON, user_id: int = 1, status: str = "paid", search: str = ""
) -> None:
    """One order's list item."""
    projector.put("order_list_item", id=id, user_id=user_id, status=status, placed_at=at, search=search)


def ids(api: Api, path: str = "/orders", **parameters: object) -> list[int]:
    """The ids of one page."""
    answer = api.get(path, **parameters)
    assert answer.status_code == 200, answer.text
    return [int(item["id"]) for item in answer.json()["items"]]


def pages(api: Api, path: str = "/orders", **parameters: object) -> list[list[int]]:
    """The ids of every page, following the cursors."""
    found: list[list[int]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = api.get(path, **parameters, **cursor).json()
        found.append([int(item["id"]) for item in answer["items"]])
        if answer["next_cursor"] is None:
            return found
        cursor = {"cursor": answer["next_cursor"]}


def test_an_empty_list_is_a_page_without_items(api: Api) -> None:
    assert api.get("/orders").json() == {"items": [], "next_cursor": None}


def test_pages_hold_every_row_once_over_equal_sort_keys(api: Api, projector: Projector) -> None:
    for id in range(1, 24):  # five rows share each moment, and microseconds tell the moments apart
        put(projector, id, at=NOON + timedelta(microseconds=id // 5))
    newest_first = sorted(range(1, 24), key=lambda id: (id // 5, id), reverse=True)
    for limit in (1, 2, 3, 5, 22, 23, 24):
        split = pages(api, limit=limit)
        assert [id for page in split for id in page] == newest_first
        assert all(len(page) == limit for page in split[:-1]) and split[-1]


def test_rows_that_come_meanwhile_do_not_shift_the_pages(api: Api, projector: Projector) -> None:
    for id in range(1, 5):
        put(projector, id)
    first = api.get("/orders", limit=2).json()
    put(projector, 5)
    assert ids(api, limit=2, cursor=first["next_cursor"]) == [2, 1]


def test_a_users_orders_are_theirs_alone_and_filter_by_status(api: Api, projector: Projector) -> None:
    projector.put("user_profile", id=1, version=1)
    projector.put("user_profile", id=2, version=1)
    put(projector, 1)
    put(projector, 2, status="cancelled")
    put(projector, 3, user_id=3)
    assert ids(api, "/users/1/orders") == [2, 1]
    assert ids(api, "/users/1/orders", status="cancelled") == [2]
    assert ids(api, "/users/2/orders") == []
    assert api.get("/users/3/orders").status_code == 404


def test_search_wants_every_word_as_a_prefix(api: Api, projector: Projector) -> None:
    put(projector, 1, search="SO-2026-000001 Ada Lovelace Blue Lamp")
    put(projector, 2, search="SO-2026-000002 Ada O'Brien Red Lamp", status="shipped")
    for search, found in {
        "lam": [2, 1],
        "ADA lam": [2, 1],
        "lam  ada blu": [1],
        "o'br": [2],
        "SO-2026-000001": [1],
        "SO-2026-0000": [2, 1],
        "amp": [],
        "lamp green": [],
        "": [2, 1],
        "   ": [2, 1],
    }.items():
        assert ids(api, search=search) == found, search
    assert ids(api, search="ada", status="shipped") == [2]


def test_search_takes_any_text_as_words(api: Api, projector: Projector) -> None:
    put(projector, 1, search="lamp")
    special = [
        *string.punctuation,
        "'':*",
        "lamp:*",
        "lamp & !lamp",
        "!lamp",
        "(lamp",
        "lamp <-> x",
        "\\",
        "\\'",
        "lamp\\",
    ]
    special += [
        "'; drop table read_models.order_list_item; --",
        "a'b\"c",
        "\u2028",
        "ﬁ\U0001f4a1",
        "%",
        "_",
        "$1",
        "%(x)s",
    ]
    for text in (*special, *(f"lamp {one}" for one in special), *(f"x{one}y" for one in special)):
        assert api.get("/orders", search=text).status_code == 200, text
    assert ids(api, search="lamp") == [1]
    assert ids(api, search="!lamp") == ids(api, search="lamp:*") == [1]
    assert ids(api, search="lamp | x") == []  # an operator is text, so a word wanted is `x`


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "", "1.5", "9" * 40])
def test_a_limit_out_of_bounds_is_refused_by_name(api: Api, limit: str) -> None:
    answer = api.get("/orders", limit=limit)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    assert [error["parameter"] for error in answer.json()["errors"]] == ["limit"]
    assert "input" not in answer.json()["errors"][0]


def test_a_wrong_filter_is_refused(api: Api, projector: Projector) -> None:
    for wrong in ({"status": "lost"}, {"search": "x" * 201}, {"search": "\0"}):
        assert api.get("/orders", **wrong).status_code == 422, wrong


def test_a_changed_cursor_is_refused(api: Api, projector: Projector) -> None:
    for id in range(1, 4):
        put(projector, id)
    cursor = api.get("/orders", limit=1).json()["next_cursor"]
    other = api.get("/orders", limit=1, status="paid").json()["next_cursor"]
    changed = [
        cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :] for place in range(len(cursor))
    ]
    for wrong in (*changed, cursor[:-1], cursor + "A", cursor + "=", other, "", "x", "💡", "A" * 400):
        answer = api.get("/orders", limit=1, cursor=wrong)
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-cursor"), wrong
    assert ids(api, limit=1, cursor=cursor) == [2]


def test_a_cursor_whose_key_is_none_is_refused() -> None:
    for key in ((), ("2026-01-01",), ("2026-01-01", 1, 2), ({}, 1), ("2026-01-01", []), (None, 1), ("2026-01-01", 1.5)):
        with pytest.raises(Problem):
            cursors.decode("list", cursors.encode("list", key))  # pyright: ignore[reportArgumentType]
    with pytest.raises(Problem):
        cursors.decode("list", cursors.encode("list", ("\ud800", 1)))


def test_a_cursor_made_by_hand_with_a_right_digest_is_refused_all_the_same(api: Api) -> None:
    for key in (("yesterday-ish", 1), ("2026-01-01", 2**70), ("'", -1)):
        cursor = cursors.encode('["order_list_item", {}]', key)
        assert api.get("/orders", cursor=cursor).json()["type"] == "/problems/malformed-cursor"

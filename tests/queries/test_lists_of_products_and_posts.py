"""The lists of products and posts: each order with its ties, each filter, the feed, comments; all over several pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.queries.harness import Api, Projector
from tests.queries.test_listings import NOON, ids, pages


def flat(api: Api, path: str, **parameters: object) -> list[int]:
    """Every id of a list, over pages of two."""
    return [id for page in pages(api, path, limit=2, **parameters) for id in page]


def product(projector: Projector, id: int, rating: float | None, price: str, minute: int, category: int = 1) -> None:
    projector.put(
        "product_card",
        id=id,
        category_id=category,
        price=price,
        rating_falling=-(rating or 0),
        created_at=NOON + timedelta(minutes=minute),
    )


@pytest.fixture
def products(projector: Projector) -> None:
    product(projector, 1, None, "5.00", 1)
    product(projector, 2, 4.5, "3.00", 5)
    product(projector, 3, 4.5, "3.00", 3, category=2)
    product(projector, 4, 5, "20.00", 3)
    product(projector, 5, 1, "100.00", 2)
    product(projector, 6, None, "3.00", 4, category=2)


def test_products_in_every_order(api: Api, products: None) -> None:
    assert flat(api, "/products", sort="rating") == [4, 2, 3, 5, 1, 6]
    assert flat(api, "/products", sort="price") == [2, 3, 6, 1, 4, 5]
    assert flat(api, "/products", sort="newest") == flat(api, "/products") == [2, 6, 4, 3, 5, 1]


def test_products_of_a_category(api: Api, products: None) -> None:
    assert flat(api, "/products", category="2", sort="price") == [3, 6]
    for unknown in ("3", "x", "0", "-1", "9" * 30, "1 or 1=1"):
        assert flat(api, "/products", category=unknown) == [], unknown
    assert api.get("/products", sort="cheapest").status_code == 422


def test_a_cursor_belongs_to_its_order_and_its_list(api: Api, products: None, projector: Projector) -> None:
    cursor = api.get("/products", sort="price", limit=1).json()["next_cursor"]
    for wrong in ({"sort": "rating"}, {"sort": "price", "category": "1"}, {}):
        assert api.get("/products", limit=1, cursor=cursor, **wrong).status_code == 400, wrong
    for user in (1, 2):
        projector.put("user_profile", id=user, version=1)
        projector.put("following", follower_id=user, followee_id=3)
    post(projector, 1, 3, 1)
    post(projector, 2, 3, 2)
    cursor = api.get("/users/1/feed", limit=1).json()["next_cursor"]
    assert api.get("/users/1/feed", limit=1, cursor=cursor).status_code == 200
    for path in ("/users/2/feed", "/users/3/posts", "/posts"):
        assert api.get(path, limit=1, cursor=cursor).status_code in (400, 404), path


def post(projector: Projector, id: int, author: int, minute: int) -> None:
    projector.put("post_list_item", id=id, author_id=author, published_at=NOON + timedelta(minutes=minute))


def test_posts_by_author_and_all(api: Api, projector: Projector) -> None:
    projector.put("user_profile", id=1, version=1)
    projector.put("user_profile", id=9, version=1)
    for id, author in ((1, 1), (2, 2), (3, 1), (4, 2), (5, 1)):
        post(projector, id, author, minute=id // 2)
    assert flat(api, "/posts") == [5, 4, 3, 2, 1]
    assert flat(api, "/posts", author_id="2") == [4, 2]
    assert flat(api, "/users/1/posts") == [5, 3, 1]
    assert flat(api, "/users/9/posts") == []
    assert flat(api, "/posts", author_id="x") == []
    assert api.get("/users/2/posts").status_code == 404


def test_a_feed_is_the_posts_of_those_followed_newest_first(api: Api, projector: Projector) -> None:
    for user in (1, 2, 3, 4):
        projector.put("user_profile", id=user, version=1)
    for follower, followee in ((1, 2), (1, 3), (2, 1)):
        projector.put("following", follower_id=follower, followee_id=followee)
    for id, author in ((1, 2), (2, 3), (3, 4), (4, 3), (5, 1), (6, 2), (7, 2)):
        post(projector, id, author, minute=id // 2)
    assert flat(api, "/users/1/feed") == [7, 6, 4, 2, 1]
    assert flat(api, "/users/2/feed") == [5]
    assert flat(api, "/users/4/feed") == []
    for unknown in ("5", "x"):
        assert api.get(f"/users/{unknown}/feed").status_code == 404


def test_comments_are_listed_oldest_first_under_a_post_that_is_there(api: Api, projector: Projector) -> None:
    projector.put("post_with_comments", id=1, version=1)
    for id, under in ((1, 1), (2, 2), (3, 1), (4, 1)):
        projector.put("comment_list_item", id=id, post_id=under, created_at=NOON - timedelta(minutes=id // 4))
    assert flat(api, "/posts/1/comments") == [4, 1, 3]
    assert api.get("/posts/2/comments").status_code == 404


def found(api: Api, search: str, **more: Any) -> list[int]:
    return ids(api, search=search, **more)


def test_a_misspelled_word_finds_what_is_spelled_nearly_so(api: Api, projector: Projector) -> None:
    for id, words in enumerate(("Ada Lovelace Blue Lantern", "Grace Hopper Red Lantern", "Karen Jones Chair"), 1):
        text = f"SO-2026-{id:06} {words}"
        projector.put(
            "order_list_item", id=id, user_id=1, status="paid", placed_at=NOON, search=text, names=words.lower()
        )
    assert found(api, "lovelase") == [1]
    assert found(api, "Hoper") == [2]
    assert found(api, "lantren") == [2, 1]
    assert found(api, "lantren", status="cancelled") == []
    assert found(api, "blue lantren") == [1]  # a word typed right stays a prefix of one
    assert found(api, "SO-2026-000001 lovelase") == [1]
    assert found(api, "zzzzzz") == found(api, "lovelase hopper") == []


def test_a_misspelled_word_may_hold_punctuation_or_stand_beside_it(api: Api, projector: Projector) -> None:
    for id, words in enumerate(("Ada O'Brien Salt & Pepper mill", "Mary Smith-Jones Lantern"), 1):
        text = f"SO-2026-{id:06} {words}"
        projector.put(
            "order_list_item", id=id, user_id=1, status="paid", placed_at=NOON, search=text, names=words.lower()
        )
    assert found(api, "salt & pepper") == found(api, "o'brien") == [1]
    assert found(api, "salt & peppar") == [1]
    assert found(api, "lantren - mary") == found(api, "lantren,") == found(api, "smiht-jones") == [2]
    assert found(api, "o'brein") == [1]
    assert found(api, "&") == found(api, "SO-2026-000009") == found(api, "SO-2026-000001 zzzzzz") == []


def test_what_is_spelled_right_finds_nothing_else(api: Api, projector: Projector) -> None:
    for id, words in enumerate(("Jon Smith", "Jon Smyth", "Jon Smithson"), 1):
        text = f"SO-2026-{id:06} {words}"
        projector.put(
            "order_list_item", id=id, user_id=1, status="paid", placed_at=NOON, search=text, names=words.lower()
        )
    assert found(api, "smyth") == [2]
    assert found(api, "smith") == [3, 1]
    assert found(api, "SO-2026-000003") == [3]
    assert found(api, "SO-2026-000009") == []  # a number is no misspelled other number


def test_pages_of_near_matches_are_whole(api: Api, projector: Projector) -> None:
    for id in range(1, 8):
        projector.put(
            "order_list_item", id=id, user_id=1, status="paid", placed_at=NOON, search="lantern", names="lantern"
        )
    assert flat(api, "/orders", search="lantren") == [7, 6, 5, 4, 3, 2, 1]

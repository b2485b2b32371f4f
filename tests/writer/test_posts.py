"""Posts, comments and reviews."""

from __future__ import annotations

from tests.writer.harness import Shop


def post(shop: Shop, **fields: object) -> str:
    """The id of a new post by a new author."""
    return shop.does("POST", "/posts", {"author_id": shop.user(), "title": "Note G", "body": "It weaves.", **fields})[
        "id"
    ]


def test_a_post_is_published_at_once_or_later(shop: Shop) -> None:
    id = post(shop, status="draft")
    assert shop.rows("select status, published_at from posts") == [("draft", None)]
    changed = shop.does("PATCH", f"/posts/{id}", {"status": "published", "version": 1})
    assert changed == {"id": id, "version": 2, "status": "published"}
    assert shop.rows("select title, published_at is not null from posts") == [("Note G", True)]


def test_a_later_change_keeps_the_publication_date(shop: Shop) -> None:
    id = post(shop)
    published = shop.rows("select published_at from posts")
    shop.does("PATCH", f"/posts/{id}", {"title": "Note H", "version": 1})
    assert shop.rows("select published_at from posts") == published


def test_a_wrong_post_is_refused(shop: Shop) -> None:
    author = shop.user()
    right = {"author_id": author, "title": "Note G", "body": "It weaves."}
    for field, value in (("title", ""), ("title", "x" * 201), ("body", ""), ("body", "\x00"), ("status", "gone")):
        shop.refuses(422, "invalid", "POST", "/posts", {**right, field: value}, at=f"/{field}")
    shop.refuses(404, "not-found", "POST", "/posts", {**right, "author_id": "99"})
    id = shop.does("POST", "/posts", right)["id"]
    shop.refuses(409, "version-conflict", "PATCH", f"/posts/{id}", {"title": "x", "version": 2})
    shop.refuses(412, "precondition-failed", "PATCH", f"/posts/{id}", {"title": "x", "version": 1}, if_match='"2"')
    shop.refuses(422, "invalid", "PATCH", f"/posts/{id}", {"title": None, "version": 1}, at="/title")
    shop.refuses(404, "not-found", "PATCH", "/posts/99", {"version": 1})
    shop.refuses(404, "not-found", "DELETE", "/posts/99")
    shop.refuses(412, "precondition-failed", "DELETE", f"/posts/{id}", if_match='"2"')


def test_deleting_a_post_deletes_its_comments(shop: Shop) -> None:
    id = post(shop)
    shop.does("POST", f"/posts/{id}/comments", {"author_id": "1", "body": "Indeed."})
    assert shop.does("DELETE", f"/posts/{id}") is None
    assert shop.rows("select (select count(*) from posts), (select count(*) from comments)") == [(0, 0)]


def test_a_comment_comes_and_goes(shop: Shop) -> None:
    id = post(shop)
    comment = shop.does("POST", f"/posts/{id}/comments", {"author_id": "1", "body": "Indeed."})["id"]
    assert shop.rows("select post_id::text, body from comments") == [(id, "Indeed.")]
    shop.does("DELETE", f"/comments/{comment}")
    shop.refuses(404, "not-found", "DELETE", f"/comments/{comment}")


def test_a_wrong_comment_is_refused(shop: Shop) -> None:
    id = post(shop)
    shop.refuses(404, "not-found", "POST", "/posts/99/comments", {"author_id": "1", "body": "Indeed."})
    shop.refuses(404, "not-found", "POST", f"/posts/{id}/comments", {"author_id": "99", "body": "Indeed."})
    shop.refuses(422, "invalid", "POST", f"/posts/{id}/comments", {"author_id": "1", "body": ""}, at="/body")


def test_a_user_reviews_a_product_once(shop: Shop) -> None:
    review = {"product_id": shop.product(), "user_id": shop.user(), "rating": 5, "body": "Prints sums."}
    id = shop.does("POST", "/reviews", review)["id"]
    shop.refuses(409, "already-reviewed", "POST", "/reviews", {**review, "rating": 1}, at="/user_id")
    shop.does("DELETE", f"/reviews/{id}")
    shop.does("POST", "/reviews", review)
    shop.refuses(404, "not-found", "DELETE", f"/reviews/{id}")


def test_a_wrong_review_is_refused(shop: Shop) -> None:
    right = {"product_id": shop.product(), "user_id": shop.user(), "rating": 5, "body": "Prints sums."}
    for field in ("product_id", "user_id"):
        shop.refuses(404, "not-found", "POST", "/reviews", {**right, field: "99"})
    for field, value in (("rating", 0), ("rating", 6), ("rating", 4.5), ("body", "too short"), ("body", "x" * 10_001)):
        shop.refuses(422, "invalid", "POST", "/reviews", {**right, field: value}, at=f"/{field}")

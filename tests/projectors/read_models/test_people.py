"""The social side: profiles, who follows whom, posts and the comments under them."""

from __future__ import annotations

from typing import Any

from tests.projectors.read_models.shop import ORDER, PEOPLE, SHOP

POST = """insert into posts (id, author_id, title, body, published_at)
          values (1, 1, 'Note G', repeat('The engine weaves. ', 20), '2026-01-01T12:00:00Z')"""


def comment(id: int, author: int = 2, minute: int = 0) -> str:
    return f"""insert into comments (id, post_id, author_id, body, created_at)
               values ({id}, 1, {author}, 'Yes {id}', '2026-01-02T00:{minute:02}:00Z')"""


def test_a_profile_counts_what_its_user_does(story: Any) -> None:
    story.given(*SHOP)
    story.when(ORDER, POST, "insert into follows (follower_id, followee_id) values (1, 2), (1, 3), (2, 1)")
    profile = story.document("user_profile")
    assert (profile["full_name"], profile["post_count"]) == ("Ada Lovelace", 1)
    assert (profile["follower_count"], profile["following_count"]) == (1, 2)
    assert (profile["order_count"], profile["lifetime_value"]) == (1, "26.60")


def test_what_is_cancelled_unpublished_or_unfollowed_is_taken_back(story: Any) -> None:
    story.given(*SHOP, ORDER, POST, "insert into follows (follower_id, followee_id) values (1, 2)")
    story.when(
        "update orders set status = 'cancelled', cancel_reason = 'no', cancelled_by = 'me' where id = 1",
        "update posts set status = 'draft', published_at = null where id = 1",
        "delete from follows",
    )
    profile = story.document("user_profile")
    assert (profile["order_count"], profile["lifetime_value"]) == (0, "0.00")
    assert (profile["post_count"], profile["following_count"]) == (0, 0)


def test_what_everybody_may_see_of_a_user_holds_nothing_private(story: Any) -> None:
    story.given(*SHOP)
    story.when(ORDER)
    ((document, public),) = story.then("select document, public from read_models.user_profile where id = 1")
    assert document.keys() - public.keys() == {"email", "order_count", "lifetime_value"}
    assert public.items() <= document.items()


def test_whom_a_user_follows(story: Any) -> None:
    story.given(PEOPLE, "insert into follows (follower_id, followee_id) values (1, 2), (2, 3)")
    story.when("update follows set followee_id = 3 where follower_id = 1", "delete from follows where follower_id = 2")
    assert story.then("select * from read_models.following") == [(1, 3)]


def test_a_post_is_listed_with_its_beginning_and_shown_whole(story: Any) -> None:
    story.given(PEOPLE)
    story.when(POST, comment(1), comment(2, author=3))
    item, page = story.document("post_list_item"), story.document("post_with_comments")
    ada = {"id": "1", "display_name": "ada", "avatar_url": "/ada.png"}
    assert item == {
        "id": "1",
        "title": "Note G",
        "excerpt": ("The engine weaves. " * 20)[:200],
        "author": ada,
        "comment_count": 2,
        "published_at": "2026-01-01T12:00:00.000000Z",
    }
    assert (page["body"], page["author"], page["version"]) == ("The engine weaves. " * 20, ada, 1)
    assert [(one["id"], one["author"]["display_name"], one["body"]) for one in page["comments"]] == [
        ("1", "grace", "Yes 1"),
        ("2", "mary", "Yes 2"),
    ]


def test_a_page_holds_the_first_twenty_comments_and_counts_all(story: Any) -> None:
    story.given(PEOPLE, POST, *(comment(n, minute=n) for n in range(2, 24)))
    story.when(comment(1, minute=1), "delete from comments where id = 3")
    page = story.document("post_with_comments")
    assert [int(one["id"]) for one in page["comments"]] == [1, 2, *range(4, 22)]
    assert page["comment_count"] == story.document("post_list_item")["comment_count"] == 22


def test_a_draft_is_shown_to_nobody(story: Any) -> None:
    story.given(PEOPLE, POST, comment(1))
    story.when("update posts set status = 'draft', published_at = null where id = 1")
    for model in ("post_list_item", "post_with_comments"):
        assert story.then(f"select * from read_models.{model}") == []
    story.when("update posts set status = 'published', published_at = now() where id = 1")
    assert story.document("post_with_comments")["comment_count"] == 1


def test_a_deleted_post_takes_its_comments_along(story: Any) -> None:
    story.given(PEOPLE, POST, comment(1))
    story.when("delete from posts")
    for model in ("post_list_item", "post_with_comments", "comment_list_item"):
        assert story.then(f"select * from read_models.{model}") == []


def test_an_authors_new_picture_is_shown_in_posts_and_comments(story: Any) -> None:
    story.given(PEOPLE, POST, comment(1, author=1))
    story.when("update users set avatar_url = '/new.png' where id = 1")
    page = story.document("post_with_comments")
    assert page["author"]["avatar_url"] == page["comments"][0]["author"]["avatar_url"] == "/new.png"
    assert story.document("post_list_item")["author"]["avatar_url"] == "/new.png"
    assert story.document("comment_list_item")["author"]["avatar_url"] == "/new.png"

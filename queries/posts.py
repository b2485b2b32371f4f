"""Routes of posts: the page of one, its comments, the lists by author, and the feed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from queries.access import Guarded
from queries.answers.people import Comment, PostListItem, PostWithComments
from queries.answers.vocabulary import Items
from queries.documents import View
from queries.listings import Filter, Gathering, Listing, Owner, Page, listing
from queries.resources import MinVersion, Resource, key_of, resource
from queries.tokens import Headers, demand_of

router = APIRouter(route_class=Guarded, tags=["posts"])

PAGE = Resource("posts", View("post_with_comments"))
ITEMS = Listing(model="post_list_item", sort="published_at", type="timestamptz")
COMMENTS = Listing(model="comment_list_item", sort="created_at", type="timestamptz", descending=False)
NO_AUTHOR = 0  # the id of none


class PostPage(Page):
    """Query parameters of lists of posts."""

    author_id: str | None = Field(None, max_length=64, description="Whose posts; everybody's without it.")


@router.get(PAGE.path, response_model=PostWithComments)
async def post_with_comments(request: Request, id: str, headers: Headers, min_version: MinVersion = None) -> Response:
    """One published post with the oldest twenty comments under it."""
    return await resource(request, PAGE, id, headers, min_version)


@router.get("/posts/{id}/comments", response_model=Items[Comment])
def comments(request: Request, id: str, page: Annotated[Page, Query()], headers: Headers) -> Response:
    """All comments under a published post, oldest first."""
    state, key = request.app.state, key_of(id)
    filters = (Filter("m.post_id = %(post_id)s", {"post_id": key}),)
    owner = Owner(model="post_with_comments", key=key)
    return listing(state.store, COMMENTS, page, demand_of(headers, state.settings), filters, owner)


@router.get("/posts", response_model=Items[PostListItem])
def posts(request: Request, page: Annotated[PostPage, Query()], headers: Headers) -> Response:
    """Published posts, newest first."""
    state = request.app.state
    author = None if page.author_id is None else key_of(page.author_id) or NO_AUTHOR
    filters = (Filter("m.author_id = %(author_id)s", {"author_id": author}),)
    return listing(state.store, ITEMS, page, demand_of(headers, state.settings), filters)


@router.get("/users/{id}/posts", response_model=Items[PostListItem])
def user_posts(request: Request, id: str, page: Annotated[Page, Query()], headers: Headers) -> Response:
    """A user's published posts, newest first."""
    state, key = request.app.state, key_of(id)
    filters = (Filter("m.author_id = %(author_id)s", {"author_id": key}),)
    owner = Owner(model="user_profile", key=key)
    return listing(state.store, ITEMS, page, demand_of(headers, state.settings), filters, owner)


@router.get("/users/{id}/feed", response_model=Items[PostListItem])
def feed(request: Request, id: str, page: Annotated[Page, Query()], headers: Headers) -> Response:
    """The posts of those whom a user follows, newest first."""
    state, key = request.app.state, key_of(id)
    followed = Gathering(
        column="author_id",
        groups="select f.followee_id from read_models.following f where f.follower_id = %(user_id)s",
        values={"user_id": key},
    )
    owner = Owner(model="user_profile", key=key)
    return listing(state.store, ITEMS, page, demand_of(headers, state.settings), owner=owner, gathering=followed)

"""Users, and what they write."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from queries.answers.vocabulary import Amount, Author, Document, Id, Moment, Version


class UserProfile(Document):
    """A user's profile. To others than the user, and the operator, it comes without the members that may be missing."""

    id: Id
    email: str = Field(default="", description="Private.")
    first_name: str
    last_name: str
    full_name: Annotated[str, Field(examples=["Ada Lovelace"])]
    display_name: str
    avatar_url: str | None
    post_count: int
    follower_count: int
    following_count: int
    order_count: int = Field(default=0, description="Private. Cancelled ones do not count.")
    lifetime_value: Amount = Field(default="0.00", description="Private. Cancelled orders do not count.")
    loyalty_tier: str
    created_at: Moment
    version: Version


class PostListItem(Document):
    """A post as lists and feeds show it."""

    id: Id
    title: str
    excerpt: Annotated[str, Field(max_length=200)]
    author: Author
    comment_count: int
    published_at: Moment


class Comment(Document):
    """A comment under a post."""

    id: Id
    author: Author
    body: str
    created_at: Moment


class PostWithComments(Document):
    """A post's page."""

    id: Id
    title: str
    body: str
    author: Author
    comments: Annotated[list[Comment], Field(max_length=20, description="The oldest twenty, oldest first.")]
    comment_count: int
    published_at: Moment
    version: Version

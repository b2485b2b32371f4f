"""Posts and the comments under them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from psycopg.rows import DictRow
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from writer.access import Actor, Guarded, actor_of
from writer.answers import Made, PostAnswer
from writer.execution import Answer, IdempotencyKey, IfMatch, created, execute
from writer.fields import Body, Id, Prose, Title, Version, identify, storable
from writer.problems import problems, unknown
from writer.transaction import Database, only
from writer.version import check_version

routes = APIRouter(tags=["posts"], route_class=Guarded)

Status = Literal["draft", "published"]
PostBody = Annotated[str, StringConstraints(min_length=1, max_length=100_000), AfterValidator(storable)]


class PostCreation(Body):
    """A new post, published at once unless it is a draft."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"author_id": "7", "title": "Note G", "body": "The engine can weave."}]}
    )

    author_id: Id
    title: Title
    body: PostBody
    status: Status = "published"


class PostChange(Body):
    """The fields to change, and the version they were read at. A field that is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "Note G, corrected", "version": 1}]})

    version: Version
    title: Title = Field(default_factory=str)
    body: PostBody = Field(default_factory=str)
    status: Status = Field(default_factory=lambda: "published")


class CommentCreation(Body):
    """A comment under a post."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"author_id": "8", "body": "Bernoulli would agree."}]})

    author_id: Id
    body: Annotated[Prose, Field(min_length=1)]


@routes.post("/posts", status_code=201, response_model=PostAnswer, responses=problems(404))
def create_post(request: Request, body: PostCreation, key: IdempotencyKey = None) -> Response:
    """Write a post."""
    return execute(request, lambda db: create(db, body), key=key, body=body)


@routes.patch("/posts/{post_id}", response_model=PostAnswer, responses=problems(404, 409, 412))
def change_post(request: Request, post_id: Id, body: PostChange, if_match: IfMatch = None) -> Response:
    """Change a post. It is dated by its first publication, and undated again as a draft."""
    return execute(request, lambda db: change(db, actor_of(request), identify(post_id, "post"), body, if_match))


@routes.delete("/posts/{post_id}", status_code=204, responses=problems(404, 412))
def delete_post(request: Request, post_id: Id, if_match: IfMatch = None) -> Response:
    """Delete a post and the comments under it."""
    return execute(request, lambda db: delete(db, actor_of(request), identify(post_id, "post"), if_match))


@routes.post("/posts/{post_id}/comments", status_code=201, response_model=Made, responses=problems(404))
def create_comment(request: Request, post_id: Id, body: CommentCreation, key: IdempotencyKey = None) -> Response:
    """Comment on a post."""
    actor = actor_of(request)
    return execute(request, lambda db: comment(db, actor, identify(post_id, "post"), body), key=key, body=body)


@routes.delete("/comments/{comment_id}", status_code=204, responses=problems(404))
def delete_comment(request: Request, comment_id: Id) -> Response:
    """Delete a comment."""
    return execute(request, lambda db: uncomment(db, actor_of(request), identify(comment_id, "comment")))


def create(db: Database, post: PostCreation) -> Answer:
    """The new post."""
    inserted = db.execute(
        """
        insert into posts (author_id, title, body, status, published_at)
        values (
            %(author_id)s, %(title)s, %(body)s, %(status)s,
            case when %(status)s = 'published' then now() end
        )
        returning id, version, status
        """,
        {**post.model_dump(), "author_id": identify(post.author_id, "user")},
    )
    row = only(inserted)
    return created(_post(row), location=f"/posts/{row['id']}")


def change(db: Database, actor: Actor, id: int, post: PostChange, if_match: str | None) -> Answer:
    """The post with the fields given changed."""
    check_version(_lock(db, actor, id)["version"], stated=post.version, if_match=if_match)
    changed = db.execute(
        """
        update posts
        set title = coalesce(%(title)s, title),
            body = coalesce(%(body)s, body),
            status = coalesce(%(status)s, status),
            published_at = case when coalesce(%(status)s, status) = 'published' then coalesce(published_at, now()) end,
            version = version + 1
        where id = %(id)s
        returning id, version, status
        """,
        {**dict.fromkeys(PostChange.model_fields), **post.model_dump(exclude_unset=True), "id": id},
    )
    return Answer(body=_post(only(changed)))


def delete(db: Database, actor: Actor, id: int, if_match: str | None) -> Answer:
    """Nothing to tell; the post is gone, and so are its comments."""
    check_version(_lock(db, actor, id)["version"], if_match=if_match)
    db.execute("delete from posts where id = %(id)s", {"id": id})
    return Answer()


def comment(db: Database, actor: Actor, post: int, comment: CommentCreation) -> Answer:
    """The new comment."""
    if not actor.may_all:
        _require_shown(db, actor, post)
    inserted = db.execute(
        """
        insert into comments (post_id, author_id, body)
        values (%(post_id)s, %(author_id)s, %(body)s)
        returning id
        """,
        {"post_id": post, "author_id": identify(comment.author_id, "user"), "body": comment.body},
    )
    return created({"id": str(only(inserted)["id"])})


def uncomment(db: Database, actor: Actor, id: int) -> Answer:
    """Nothing to tell; the comment is gone."""
    row = db.execute(
        """
        delete from comments
        using posts
        where comments.id = %(id)s
          and posts.id = comments.post_id
        returning comments.author_id, posts.author_id as post_author_id, posts.status
        """,
        {"id": id},
    ).fetchone()
    if row is None:
        raise unknown("comment")
    if not actor.owns(row["author_id"]) and row["status"] == "draft" and not actor.owns(row["post_author_id"]):
        raise unknown("comment")  # nobody is told of what is under somebody else's draft
    actor.require_own(row["author_id"], "the comment")
    return Answer()


def _require_shown(db: Database, actor: Actor, post: int) -> None:
    """Refuse a post that the actor cannot see: somebody else's draft is, to them, no post."""
    row = db.execute("select author_id, status from posts where id = %(id)s for share", {"id": post}).fetchone()
    if row is None or (row["status"] == "draft" and not actor.owns(row["author_id"])):
        raise unknown("post")


def _lock(db: Database, actor: Actor, id: int) -> DictRow:
    row = db.execute(
        """
        select id, author_id, version, status
        from posts
        where id = %(id)s
        for no key update
        """,
        {"id": id},
    ).fetchone()
    if row is None or (row["status"] == "draft" and not actor.owns(row["author_id"])):
        raise unknown("post")  # nobody is told of somebody else's draft
    actor.require_own(row["author_id"], "the post")
    return row


def _post(row: DictRow) -> dict[str, object]:
    return {"id": str(row["id"]), "version": row["version"], "status": row["status"]}

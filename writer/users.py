"""Users and whom they follow."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from psycopg.rows import DictRow
from pydantic import ConfigDict, Field

from writer.access import Guarded, actor_of, forbidden
from writer.answers import UserAnswer
from writer.execution import Answer, IdempotencyKey, IfMatch, created, execute
from writer.fields import Body, Email, Id, Name, Phone, Tier, Title, Url, Version, identify
from writer.problems import invalid, problems, unknown
from writer.transaction import Database, announce, only
from writer.version import check_version

routes = APIRouter(tags=["users"], route_class=Guarded)

Status = Literal["active", "suspended"]


class UserRegistration(Body):
    """A new user. Without a display name it is first and last name."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"email": "ada@example.org", "first_name": "Ada", "last_name": "Lovelace", "phone": "+44 20"}]
        }
    )

    email: Email
    first_name: Name
    last_name: Name
    display_name: Title | None = None
    phone: Phone | None = None
    avatar_url: Url | None = None
    loyalty_tier: Tier = "bronze"


class UserChange(Body):
    """The fields to change, and the version they were read at. A field that is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"loyalty_tier": "gold", "version": 1}]})

    version: Version
    email: Email = Field(default_factory=str)
    first_name: Name = Field(default_factory=str)
    last_name: Name = Field(default_factory=str)
    display_name: Title = Field(default_factory=str)
    phone: Phone | None = None
    avatar_url: Url | None = None
    loyalty_tier: Tier = Field(default_factory=str)


@routes.post("/users", status_code=201, response_model=UserAnswer, responses=problems(409))
def register_user(request: Request, body: UserRegistration, key: IdempotencyKey = None) -> Response:
    """Register a user; the email must be free."""
    return execute(request, lambda db: register(db, body), key=key, body=body)


@routes.patch("/users/{user_id}", response_model=UserAnswer, responses=problems(404, 409, 412))
def change_user(request: Request, user_id: Id, body: UserChange, if_match: IfMatch = None) -> Response:
    """Change some fields of a user."""
    if "loyalty_tier" in body.model_fields_set and not actor_of(request).may_all:
        raise forbidden("nobody changes their own loyalty_tier; it takes the role operator")
    return execute(request, lambda db: change(db, identify(user_id, "user"), body, if_match))


@routes.post("/users/{user_id}/suspend", response_model=UserAnswer, responses=problems(404, 412))
def suspend_user(request: Request, user_id: Id, key: IdempotencyKey = None, if_match: IfMatch = None) -> Response:
    """Suspend a user: no more orders. A suspended user stays suspended."""
    return execute(request, lambda db: set_status(db, identify(user_id, "user"), "suspended", if_match), key=key)


@routes.post("/users/{user_id}/reinstate", response_model=UserAnswer, responses=problems(404, 412))
def reinstate_user(request: Request, user_id: Id, key: IdempotencyKey = None, if_match: IfMatch = None) -> Response:
    """Let a suspended user order again. An active user stays active."""
    return execute(request, lambda db: set_status(db, identify(user_id, "user"), "active", if_match), key=key)


@routes.put("/users/{user_id}/following/{other_id}", status_code=204, responses=problems(404))
def follow_user(request: Request, user_id: Id, other_id: Id) -> Response:
    """Follow another user. Following twice is following once."""
    return execute(request, lambda db: follow(db, identify(user_id, "user"), identify(other_id, "user")))


@routes.delete("/users/{user_id}/following/{other_id}", status_code=204, responses=problems(404))
def unfollow_user(request: Request, user_id: Id, other_id: Id) -> Response:
    """Stop following another user. Whoever is not followed stays so."""
    return execute(request, lambda db: unfollow(db, identify(user_id, "user"), identify(other_id, "user")))


def register(db: Database, user: UserRegistration) -> Answer:
    """The new user."""
    row = only(
        db.execute(
            """
            insert into users (email, first_name, last_name, display_name, phone, avatar_url, loyalty_tier)
            values (
                %(email)s, %(first_name)s, %(last_name)s,
                coalesce(%(display_name)s, %(first_name)s || ' ' || %(last_name)s),
                %(phone)s, %(avatar_url)s, %(loyalty_tier)s
            )
            returning id, version, status
            """,
            user.model_dump(),
        )
    )
    return created(_user(row), location=f"/users/{row['id']}")


def change(db: Database, id: int, user: UserChange, if_match: str | None) -> Answer:
    """The user with the fields given changed."""
    check_version(_lock(db, id)["version"], stated=user.version, if_match=if_match)
    row = only(
        db.execute(
            """
            update users
            set email = coalesce(%(email)s, email),
                first_name = coalesce(%(first_name)s, first_name),
                last_name = coalesce(%(last_name)s, last_name),
                display_name = coalesce(%(display_name)s, display_name),
                phone = case when %(sets_phone)s then %(phone)s else phone end,
                avatar_url = case when %(sets_avatar_url)s then %(avatar_url)s else avatar_url end,
                loyalty_tier = coalesce(%(loyalty_tier)s, loyalty_tier),
                version = version + 1,
                updated_at = now()
            where id = %(id)s
            returning id, version, status
            """,
            {
                **dict.fromkeys(UserChange.model_fields),
                **user.model_dump(exclude_unset=True),
                "id": id,
                # These two may be set to null.
                "sets_phone": "phone" in user.model_fields_set,
                "sets_avatar_url": "avatar_url" in user.model_fields_set,
            },
        )
    )
    return Answer(body=_user(row))


def set_status(db: Database, id: int, status: Status, if_match: str | None) -> Answer:
    """The user with this status; nothing changes for one who has it."""
    row = _lock(db, id)
    check_version(row["version"], if_match=if_match)
    if row["status"] == status:
        announce(db)
        return Answer(body=_user(row))
    changed = db.execute(
        """
        update users
        set status = %(status)s,
            version = version + 1,
            updated_at = now()
        where id = %(id)s
        returning id, version, status
        """,
        {"id": id, "status": status},
    )
    return Answer(body=_user(only(changed)))


def follow(db: Database, follower: int, followee: int) -> Answer:
    """Nothing to tell; the one follows the other now."""
    if follower == followee:
        raise invalid("", "nobody follows themselves")
    followed = db.execute(
        """
        insert into follows (follower_id, followee_id)
        values (%(follower)s, %(followee)s)
        on conflict do nothing
        returning follower_id
        """,
        {"follower": follower, "followee": followee},
    )
    if followed.fetchone() is None:
        announce(db)
    return Answer()


def unfollow(db: Database, follower: int, followee: int) -> Answer:
    """Nothing to tell; the one does not follow the other now."""
    users = db.execute(
        """
        select id
        from users
        where id in (%(follower)s, %(followee)s)
        """,
        {"follower": follower, "followee": followee},
    )
    unfollowed = db.execute(
        """
        delete from follows
        where follower_id = %(follower)s
          and followee_id = %(followee)s
        returning follower_id
        """,
        {"follower": follower, "followee": followee},
    )
    if len(users.fetchall()) < len({follower, followee}):
        raise unknown("user")
    if unfollowed.fetchone() is None:
        announce(db)
    return Answer()


def _lock(db: Database, id: int) -> DictRow:
    row = db.execute(
        """
        select id, version, status
        from users
        where id = %(id)s
        for no key update
        """,
        {"id": id},
    ).fetchone()
    if row is None:
        raise unknown("user")
    return row


def _user(row: DictRow) -> dict[str, object]:
    return {"id": str(row["id"]), "version": row["version"], "status": row["status"]}

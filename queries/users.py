"""Routes of users: the profile."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.types import Scope

from queries.access import Guarded, shows_private
from queries.answers.people import UserProfile
from queries.documents import View
from queries.resources import MinVersion, Resource, resource
from queries.tokens import Headers

router = APIRouter(route_class=Guarded, tags=["users"])

_WHOLE = View("user_profile")
_PUBLIC = View("user_profile", shown="public")


def _for_caller(scope: Scope, id: str) -> tuple[View, int | None]:
    return _WHOLE if shows_private(scope, id) else _PUBLIC, None


PROFILE = Resource("users", _WHOLE, _for_caller)


@router.get(PROFILE.path, response_model=UserProfile)
async def user_profile(request: Request, id: str, headers: Headers, min_version: MinVersion = None) -> Response:
    """One user with the counts and sums of what they did; without email, orders and what they spent for anybody else."""
    return await resource(request, PROFILE, id, headers, min_version)

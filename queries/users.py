"""Routes of users: the profile."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from queries.access import Guarded, shows_private
from queries.documents import View
from queries.resources import MinVersion, resource
from queries.tokens import Headers

router = APIRouter(route_class=Guarded, tags=["users"])


PROFILE = View("user_profile")
PUBLIC_PROFILE = View("user_profile", shown="public")


@router.get("/users/{id}")
async def user_profile(request: Request, id: str, headers: Headers, min_version: MinVersion = None) -> Response:
    """One user with the counts and sums of what they did; without email, orders and what they spent for anybody else."""
    view = PROFILE if shows_private(request, id) else PUBLIC_PROFILE
    return await resource(request, view, id, headers, min_version)

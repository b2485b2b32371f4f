"""Routes of users: the profile."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from queries.resources import MinVersion, Resource, resource
from queries.tokens import Headers

router = APIRouter(tags=["users"])

PROFILE = Resource("users", "user_profile")


@router.get(PROFILE.path)
async def user_profile(request: Request, id: str, headers: Headers, min_version: MinVersion = None) -> Response:
    """One user with the counts and sums of what they did."""
    return await resource(request, PROFILE, id, headers, min_version)

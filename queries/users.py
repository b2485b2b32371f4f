"""Routes of users: the profile."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from queries.resources import MinVersion, resource
from queries.tokens import Headers, demand_of

router = APIRouter(tags=["users"])


@router.get("/users/{id}")
def user_profile(request: Request, id: str, headers: Headers, min_version: MinVersion = None) -> Response:
    """One user with the counts and sums of what they did."""
    state = request.app.state
    demand = demand_of(headers, state.settings, min_version)
    return resource(state.store, "user_profile", id, demand, headers.if_none_match)

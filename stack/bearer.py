"""The token that readside's own commands send to writer and query server, and what to say when they refuse it."""

from __future__ import annotations

from config.settings import Settings

_REFUSED = {
    401: "; the server asks for a token: set READSIDE_TOKEN to a valid one",
    403: "; the token in READSIDE_TOKEN does not allow it: use one of an operator",
}
#: Of 403: refused to everybody, whatever their token.
_TO_ALL = "/problems/not-allowed"


def headers(settings: Settings) -> dict[str, str]:
    """The header of every request, where READSIDE_TOKEN is set."""
    token = settings.token.get_secret_value() if settings.token is not None else ""
    return {"Authorization": f"Bearer {token}"} if token else {}


def advice(status: int, type: str = "") -> str:
    """What to do about an answer's status and problem type, to be put behind the message; empty where no token helps."""
    return "" if type == _TO_ALL else _REFUSED.get(status, "")

"""The token that readside's own commands send to writer and query server, and what to say when they refuse it."""

from __future__ import annotations

from config.settings import Settings

_REFUSED = {
    401: "; the server asks for a token: set READSIDE_TOKEN to a valid one",
    403: "; the token in READSIDE_TOKEN does not allow it: use one of an operator",
}


def headers(settings: Settings) -> dict[str, str]:
    """The header of every request, where READSIDE_TOKEN is set."""
    return {} if settings.token is None else {"Authorization": f"Bearer {settings.token.get_secret_value()}"}


def advice(status: int) -> str:
    """What to do about an answer's status, to be put behind the message; empty where no token would help."""
    return _REFUSED.get(status, "")

"""Requests that a page of another site makes in somebody's browser, which sends them along with all that lets them in."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from queries.problems import Problem

_OURS = (b"same-origin", b"none")  # none: the person asked, not a page


def require_same_site(headers: Sequence[tuple[bytes, bytes]], *, open_to_all: bool) -> None:
    """Refuse what a browser says comes from elsewhere; programs say nothing of it, and are let by.

    ``open_to_all``: nobody is asked for a token. Then the request must be for this machine by a name that nobody else can
    give an address to: a page of evil.example whose name leads to 127.0.0.1 would be of the same origin.
    """
    told = dict(headers)
    site, origin, host = told.get(b"sec-fetch-site"), told.get(b"origin"), told.get(b"host", b"").decode("latin-1")
    elsewhere = site is not None and site not in _OURS
    if origin is not None:
        elsewhere |= urlsplit(origin.decode("latin-1")).netloc.lower() != host.lower()
    if elsewhere or (open_to_all and not _is_loopback(host)):
        raise Problem("forbidden", "A page of another site may not ask for this.")


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False

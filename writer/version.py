"""Optimistic concurrency: the version a client believes to be current against the one that is."""

from __future__ import annotations

import re

from writer.problems import INVALID, PRECONDITION_FAILED, VERSION_CONFLICT, Problem

_ENTITY_TAG = re.compile(r'(W/)?"([^"]*)"')


def check_version(current: int, *, stated: int | None = None, if_match: str | None = None) -> None:
    """Raise `Problem` unless `current` is the version stated in the body and matches If-Match (RFC 9110, 13.1.1)."""
    if if_match is not None and not _matches(current, if_match):
        raise Problem(PRECONDITION_FAILED, "If-Match names another version", members={"actual": current})
    if stated is not None and stated != current:
        raise Problem(
            VERSION_CONFLICT, f"version {stated} is not the current one, {current} is", members={"actual": current}
        )


def _matches(current: int, if_match: str) -> bool:
    if if_match.strip() == "*":
        return True
    tags = [part.strip() for part in if_match.split(",")]
    parsed = [_ENTITY_TAG.fullmatch(tag) for tag in tags]
    if not all(parsed):
        message = 'must be * or entity tags such as "3"'
        raise Problem(INVALID, f"If-Match {message}", errors=[{"parameter": "If-Match", "message": message}])
    # Weak tags never match: the comparison for If-Match is the strong one.
    return any(tag is not None and tag[1] is None and tag[2] == str(current) for tag in parsed)

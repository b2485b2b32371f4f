"""Opaque cursors of lists: the sort key of a page's last row, bound to the list and filters it was made for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json

import msgspec

from queries.problems import Problem

_DIGEST = 8  # bytes


def encode(scope: str, key: tuple[str, int]) -> str:
    """The cursor after the row with this sort value and id, for the list that ``scope`` names with its filters."""
    payload = json.dumps(key, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_digest(scope, payload) + payload).rstrip(b"=").decode()


def decode(scope: str, cursor: str) -> tuple[str, int]:
    """The sort value and id a cursor holds; refuses one that was changed, or made for another list or other filters.

    The digest finds mistakes. It is no secret: a cursor opens nothing that the list itself does not.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed() from error
    digest, payload = raw[:_DIGEST], raw[_DIGEST:]
    # The padding bits of base64 may differ and decode alike; only the text we gave out is accepted.
    if digest != _digest(scope, payload) or base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != cursor:
        raise _malformed()
    try:
        value, id = msgspec.json.decode(payload, type=tuple[str, int])
    except msgspec.MsgspecError as error:
        raise _malformed() from error
    return value, id


def _digest(scope: str, payload: bytes) -> bytes:
    return hashlib.blake2b(scope.encode() + b"\0" + payload, digest_size=_DIGEST, person=b"cursor").digest()


def _malformed() -> Problem:
    return Problem("malformed-cursor", "The cursor is not one this list gave out with these filters.")

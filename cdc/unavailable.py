"""Columns that Debezium does not send: a TOASTed value that an update did not touch comes as a placeholder."""

from __future__ import annotations

import hashlib
import uuid

import msgspec
from msgspec import Raw

#: Value of ``unavailable.value.placeholder`` in connector.toml: what Debezium sends for a TOASTed column that an update
#: did not touch. PostgreSQL's text cannot hold its first character, so no application can store it.
PLACEHOLDER = "\0readside:unavailable:7d1c63c0b5a94a0e"
#: Its forms: text (all scalars, bytes included), and arrays of text, of whole numbers and of UUIDs; hstore is JSON in text.
_UNAVAILABLE = (
    PLACEHOLDER,
    [PLACEHOLDER],
    list(PLACEHOLDER.encode()),
    [str(uuid.UUID(bytes=hashlib.md5(PLACEHOLDER.encode(), usedforsecurity=False).digest(), version=3))],
    msgspec.json.encode({PLACEHOLDER: PLACEHOLDER}).decode(),
)
#: Without these bytes a row holds none of the forms.
_TEXT, _NUMBERS, _UUIDS = (
    PLACEHOLDER[1:].encode(),
    msgspec.json.encode(_UNAVAILABLE[2]),
    msgspec.json.encode(_UNAVAILABLE[3]),
)

_object = msgspec.json.Decoder(dict[str, Raw])
_any = msgspec.json.Decoder()


def without_unavailable(row: bytes) -> bytes | None:
    """The row, a JSON object, without its unavailable columns; None when all are there."""
    # Asked of every update: an array's forms are looked for only where there is an array.
    if _TEXT not in row and (b"[" not in row or (_NUMBERS not in row and _UUIDS not in row)):
        return None
    columns = _object.decode(row)
    there = {name: raw for name, raw in columns.items() if _any.decode(raw) not in _UNAVAILABLE}
    return msgspec.json.encode(there) if len(there) < len(columns) else None

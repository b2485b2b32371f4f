"""What a record tells of its way beyond the change itself: the row before, and when Debezium had it in hand.

Knows the envelope's names as change.py does; only people who look ask for this, so no store pays for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from msgspec import Raw, Struct

from cdc.unavailable import without_unavailable


@dataclass(frozen=True, slots=True)
class Trail:
    """Beside a ``Change``. Both are None where the record does not tell."""

    before: bytes | None  #: the old row as JSON, or the columns of it that the source logs
    read_us: int | None  #: when Debezium made the record, microseconds since 1970 UTC by its own clock


class _Envelope(Struct, gc=False):
    before: Raw = Raw(b"null")
    ts_us: int | None = None


class _WithSchema(Struct):
    payload: Raw


_envelope = msgspec.json.Decoder(_Envelope)
_with_schema = msgspec.json.Decoder(_WithSchema)


def decode_trail(value: bytes) -> Trail:
    """The trail that a table topic's record carries; empty for what is no envelope."""
    try:
        payload = _with_schema.decode(value).payload if value.startswith(b'{"schema":') else value
        envelope = _envelope.decode(payload)
    except msgspec.MsgspecError:
        return Trail(before=None, read_us=None)
    before = bytes(envelope.before)
    if not before.startswith(b"{"):
        return Trail(before=None, read_us=envelope.ts_us)
    return Trail(before=without_unavailable(before) or before, read_us=envelope.ts_us)

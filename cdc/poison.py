"""A record that cannot be understood: where it stands in the stream, told from what is left of it.

Knows the envelope's names as change.py does; looks for them in JSON that may be broken.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw

from cdc.change import OLD_KEY_HEADER, Change, Headers, decode_change, json_object, old_key_of
from cdc.errors import Poison

_object = msgspec.json.Decoder(dict[str, Raw])

#: Where a change stands, in JSON that may be broken: xid, place, LSN, end of the transaction before. A row comes before
#: them in the envelope, so the last match is the source block's or the transaction block's.
_PLACES = (
    rb'"txId":\s*(\d+)',
    rb'"total_order":\s*(\d+)',
    rb'"lsn":\s*(\d+)',
    rb'"sequence":\s*"\[\\"(\d+)\\"',
)


def locate(
    value: bytes, key: bytes | None, headers: Headers, table: str, poison: str, partition: int, offset: int
) -> Change | None:
    """What a record that ``decode_change`` refused, because of ``poison``, still tells of its place: a change of op x.

    None when it does not name the row, or names its transaction and not its place in it: then nobody can tell what else
    waits for it.
    """
    named = None if key is None else json_object(key)
    if named is None or not _is_object(named):
        return None
    xid, order, lsn, previous_end = (_last_number(pattern, value) for pattern in _PLACES)
    if (xid is None) != (order is None):
        return None
    return Change(
        table=table,
        op="x",
        key=named,
        row=value,
        partial=False,
        old_key=old_key_of(headers),
        xid=xid,
        order=order or 0,
        lsn=lsn or 0,
        previous_end=previous_end,
        committed_us=_last_number(rb'"ts_us":\s*(\d+)', value) or 0,
        partition=partition,
        offset=offset,
        poison=poison,
    )


def decode_again(change: Change) -> Change:
    """What a change of op x says to this version of readside. Raises Poison when it still says nothing."""
    assert change.row is not None
    headers = [(OLD_KEY_HEADER, change.old_key)] if change.old_key is not None else []
    decoded = decode_change(change.row, change.key, headers, change.partition, change.offset)
    if decoded is None or decoded.table != change.table:
        raise Poison(f"not a change of {change.table}")
    return decoded


def _is_object(text: bytes) -> bool:
    try:
        _object.decode(text)
    except msgspec.MsgspecError:
        return False
    return True


def _last_number(pattern: bytes, value: bytes) -> int | None:
    found = re.findall(pattern, value)
    return int(found[-1]) if found else None

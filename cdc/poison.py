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

_LSN = rb'"source":\s*\{[^{}]*?"lsn":\s*(\d{1,18})(?!\d)'
#: Where a change stands, in JSON that may be broken: xid, place, LSN, end of the transaction before; numbers of at most 64
#: bits. Looked for inside the source and the transaction block alone, and the last one counts: a row comes before them.
_PLACES = (
    rb'"source":\s*\{[^{}]*?"txId":\s*(\d{1,18})(?!\d)',
    rb'"transaction":\s*\{[^{}]*?"total_order":\s*(\d{1,18})(?!\d)',
    _LSN,
    rb'"source":\s*\{[^{}]*?"sequence":\s*"\[\\"(\d{1,18})\\"',
)


def locate(
    value: bytes,
    key: bytes | None,
    headers: Headers,
    table: str,
    poison: str,
    partition: int,
    offset: int,
    *,
    in_snapshot: bool = False,
) -> Change | None:
    """What a record that ``decode_change`` refused, because of ``poison``, still tells of its place: a change of op x.

    None when it does not name the row, or names its transaction and not its place in it: then nobody can tell what else
    waits for it. ``in_snapshot``: it is a row of a snapshot, whose source block names a transaction that it is no part of.
    """
    named = None if key is None else json_object(key)
    if named is None or not _is_object(named):
        return None
    try:
        old_key = old_key_of(headers)
    except Poison:
        return None
    if old_key is not None and not _is_object(old_key):
        return None
    xid, order, lsn, previous_end = (_last_number(pattern, value) for pattern in _PLACES)
    if in_snapshot:
        xid = order = None
    if (xid is None) != (order is None):
        return None
    return Change(
        table=table,
        op="x",
        key=named,
        row=value,
        partial=False,
        old_key=old_key,
        xid=xid,
        order=order or 0,
        lsn=lsn or 0,
        previous_end=previous_end,
        committed_us=_last_number(rb'"ts_us":\s*(\d{1,18})(?!\d)', value) or 0,
        partition=partition,
        offset=offset,
        poison=poison,
    )


def sent_lsn(value: bytes) -> int | None:
    """LSN of the WAL record that a table topic's record was made of, whether or not more of it can be understood; None
    where it tells of none."""
    return _last_number(_LSN, value)


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

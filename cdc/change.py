"""The one module that knows Debezium's envelope: a Kafka record's bytes become a ``Change`` or an ``End``.

Row images stay the JSON bytes that Debezium wrote; a store types them by its own catalogue. Only columns that hold the
unavailable-value placeholder are touched here: they are taken out, so that an absent column means "as it was".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import Raw, Struct

from cdc.errors import Poison
from cdc.unavailable import without_unavailable

Op = Literal["r", "c", "u", "d", "t", "x"]


class Change(Struct, frozen=True, array_like=True, tag=0, gc=False):
    """One row change, or one TRUNCATE of one table, at one place of one source transaction.

    Not a dataclass: making one of those took as long as decoding the record it comes from. Nor does the garbage collector
    look at it, which would take as long again: it holds nothing that could lead back to it.
    """

    table: str  #: schema.table, from the envelope's source block (a topic's name can be ambiguous)
    op: Op  #: r snapshot row, c insert, u update, d delete, t truncate, x what cannot be understood
    key: bytes | None  #: replica identity columns as JSON, in key order; None for t
    row: bytes | None  #: the new row as JSON without unavailable columns; None for d and t; for x the record's value
    partial: bool  #: columns were unavailable: absent ones keep the stored value
    old_key: bytes | None  #: for a c that ends a key change: the row's key before it
    xid: int | None  #: the source transaction, 32 bit; None for r, and for an x that names none
    order: int  #: place in the transaction from 1; 0 for r
    lsn: int  #: of the row's own WAL record: neither unique nor increasing
    previous_end: int | None  #: end LSN of the transaction before this one; None right after a connector's start
    committed_us: int  #: commit time at the source, microseconds since 1970 UTC
    partition: int = -1  #: of the table's topic, and the record's offset in it
    offset: int = -1
    poison: str | None = None  #: for x: what is wrong with it


class End(Struct, frozen=True, array_like=True, tag=1, gc=False):
    """The transaction topic's END: the transaction's place in commit order and how many changes each table has."""

    xid: int  #: 32 bit
    end_lsn: int  #: end of the commit record: unique and increasing in commit order
    counts: dict[str, int]  #: changes by schema.table; entries of logical messages are left out
    committed_us: int  #: microseconds since 1970 UTC, in whole milliseconds


@dataclass(frozen=True, slots=True)
class Message:
    """A logical message of ours."""

    prefix: str
    content: bytes
    lsn: int  #: of its WAL record
    xid: int | None = None  #: its transaction, 32 bit; None for one outside of any


_NULL = Raw(b"null")
_BEGIN = b'{"status":"BEGIN",'


class _Source(Struct, gc=False):
    schema: str
    table: str
    lsn: int | None = None
    txId: int | None = None
    ts_us: int | None = None
    sequence: str | None = None
    snapshot: str | bool | None = None


class _Place(Struct, gc=False):
    total_order: int


class _Envelope(Struct, gc=False):
    op: str
    source: _Source
    after: Raw = _NULL
    transaction: _Place | None = None


class _MessageBlock(Struct):
    prefix: str
    content: str  # under binary.handling.mode=hex


class _MessageEnvelope(Struct):
    message: _MessageBlock
    source: _Source


class _Count(Struct):
    data_collection: str
    event_count: int


class _Boundary(Struct):
    status: str
    id: str
    ts_ms: int
    data_collections: list[_Count] | None = None


class _WithSchema(Struct):
    payload: Raw


_envelope = msgspec.json.Decoder(_Envelope)
_boundary = msgspec.json.Decoder(_Boundary)
_message = msgspec.json.Decoder(_MessageEnvelope)
_with_schema = msgspec.json.Decoder(_WithSchema)
_object = msgspec.json.Decoder(dict[str, Raw])
_sequence = msgspec.json.Decoder(tuple[str | None, str])

#: What becomes of an array of several dimensions: nulls, or the names of Java's objects.
_LOST_ARRAY = re.compile(rb'\[null(,\s*null)*\]|\["\[L[\w.]+;@[0-9a-f]+".*\]')

OLD_KEY_HEADER = "__debezium.oldkey"
Headers = Sequence[tuple[str, bytes | None]]


def decode_change(
    value: bytes, key: bytes | None, headers: Headers, partition: int = -1, offset: int = -1
) -> Change | None:
    """The change a table topic's record carries; None for op m (a logical message) and an incremental snapshot's row.

    ``partition``, ``offset``: where the record lies. ``value`` is never None: the caller drops tombstones. Raises Poison
    for anything that is not a Debezium envelope of an operation that readside knows; the message holds no values.
    """
    _require_text(value)
    if key is not None:
        _require_text(key)
    try:
        envelope = _envelope.decode(_payload(value))
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise Poison(f"not a Debezium change envelope: {type(exc).__name__}") from exc
    source, op = envelope.source, envelope.op
    if op == "m" or (op == "r" and source.snapshot == "incremental"):
        return None  # a row of an incremental snapshot says what was streamed already (docs/decisions/0009)
    if op not in ("r", "c", "u", "d", "t"):
        raise Poison(f"unknown operation {op!r} on {source.schema}.{source.table}")
    if op != "r" and (envelope.transaction is None or source.txId is None):
        raise Poison(
            f"a streamed change of {source.schema}.{source.table} carries no transaction: "
            "the connector needs provide.transaction.metadata=true"
        )
    if key is None and op != "t":
        raise Poison(f"{source.schema}.{source.table} has no key: it needs a primary key or a replica identity index")
    row = None if op in ("d", "t") else _row_of(envelope)
    old_key = old_key_of(headers) if op == "c" and headers else None
    columns = None
    if row is not None and (op == "u" or old_key is not None):
        columns = without_unavailable(row)
    return Change(
        table=f"{source.schema}.{source.table}",
        op=op,
        key=None if key is None else _key(key, source),
        row=row if columns is None else columns,
        partial=columns is not None,
        old_key=old_key,
        xid=source.txId if op != "r" else None,
        order=envelope.transaction.total_order if envelope.transaction else 0,
        lsn=source.lsn or 0,
        previous_end=_previous_end(source.sequence),
        committed_us=source.ts_us or 0,
        partition=partition,
        offset=offset,
    )


def decode_boundary(value: bytes) -> tuple[Literal["BEGIN", "END"], int]:
    """What a transaction topic's record is, and its LSN. Raises Poison for anything else."""
    boundary = _boundary_of(value)
    return ("BEGIN" if boundary.status == "BEGIN" else "END"), int(boundary.id.partition(":")[2])


def decode_end(value: bytes) -> End | None:
    """The END that a transaction topic's record carries; None for BEGIN. Raises Poison for anything else."""
    if value.startswith(_BEGIN):
        return None  # half of this topic's records; nothing in one is used
    boundary = _boundary_of(value)
    if boundary.status == "BEGIN":
        return None
    xid, _, lsn = boundary.id.partition(":")
    if not (xid.isdecimal() and lsn.isdecimal()):
        raise Poison("a transaction's END has no position: its id is not xid:lsn")
    return End(
        xid=int(xid),
        end_lsn=int(lsn),
        counts={c.data_collection: c.event_count for c in boundary.data_collections or ()},
        committed_us=boundary.ts_ms * 1000,
    )


def _boundary_of(value: bytes) -> _Boundary:
    try:
        boundary = _boundary.decode(_payload(value))
    except msgspec.MsgspecError as exc:
        raise Poison(f"not a Debezium transaction boundary: {type(exc).__name__}") from exc
    if boundary.status not in ("BEGIN", "END"):
        raise Poison(f"unknown transaction status {boundary.status!r}")
    return boundary


def decode_message(value: bytes) -> Message:
    """The logical message that a message topic's record carries. Raises Poison for anything else."""
    try:
        envelope = _message.decode(_payload(value))
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise Poison(f"not a logical message: {type(exc).__name__}") from exc
    try:
        content = bytes.fromhex(envelope.message.content)
    except ValueError as exc:
        raise Poison("not a logical message: the connector needs binary.handling.mode=hex") from exc
    return Message(
        prefix=envelope.message.prefix, content=content, lsn=envelope.source.lsn or 0, xid=envelope.source.txId
    )


def _require_text(value: bytes) -> None:
    # Row images are handed on as they come, and no decoder has looked inside their strings.
    if not value.isascii():
        try:
            value.decode()
        except UnicodeDecodeError as exc:
            raise Poison("not a Debezium change envelope: not UTF-8") from exc


def _payload(value: bytes) -> bytes | Raw:
    # JsonConverter wraps in {"schema":…,"payload":…} with schemas.enable=true; both forms are accepted.
    return _with_schema.decode(value).payload if value.startswith(b'{"schema":') else value


def _row_of(envelope: _Envelope) -> bytes:
    row, source = bytes(envelope.after), envelope.source
    if not row.startswith(b"{"):
        raise Poison(f"operation {envelope.op} on {source.schema}.{source.table} has no after image")
    if b"[" in row and (b"[null" in row or b'["[L' in row):
        for name, raw in _object.decode(row).items():
            if _LOST_ARRAY.fullmatch(bytes(raw)):
                raise Poison(
                    f"column {name} of {source.schema}.{source.table} holds an array whose values Debezium lost: it has "
                    "several dimensions, or nothing but nulls; store it in another form, or leave the column out"
                )
    return row


def _key(key: bytes, source: _Source) -> bytes:
    payload = json_object(key)
    if payload is None:
        raise Poison(f"the key of {source.schema}.{source.table} is no JSON object: another converter wrote it")
    return payload


def old_key_of(headers: Headers) -> bytes | None:
    """The row's key before a key change, as JSON. Raises Poison."""
    for name, value in headers:
        if name == OLD_KEY_HEADER:
            payload = None if value is None else json_object(value)
            if payload is None:
                raise Poison(
                    f"header {name} is no JSON object: the connector needs header.converter as in connector.toml"
                )
            return payload
    return None


def json_object(value: bytes) -> bytes | None:
    """A key's JSON object, as text; None for anything else."""
    # Looked at from outside only: PostgreSQL parses it, and this is done for every record.
    try:
        payload = bytes(_payload(value))
    except msgspec.MsgspecError:
        return None
    return payload if payload.startswith(b"{") and payload.endswith(b"}") else None


def _previous_end(sequence: str | None) -> int | None:
    if sequence is None:
        return None
    try:
        last_commit, _ = _sequence.decode(sequence)
        return None if last_commit is None else int(last_commit)
    except (msgspec.MsgspecError, ValueError) as exc:
        raise Poison(f"not a Debezium change envelope: source.sequence: {type(exc).__name__}") from exc

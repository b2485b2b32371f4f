"""What a record of a projector's topics carries, decoded by whoever reads it: the projector or its reading process."""

from __future__ import annotations

from cdc.change import Change, End, decode_change, decode_end
from cdc.errors import Poison
from cdc.reader import Decoded, Record


def carried_by(record: Record, transaction_topic: str) -> Change | End | None:
    """What a record with a value, of a table's topic or of the transaction topic, carries; None for nothing that a
    projector needs. Raises Poison."""
    assert record.value is not None
    if record.partition[0] == transaction_topic:
        return decode_end(record.value)
    return decode_change(record.value, record.key, record.headers, record.partition[1], record.offset)


def decoded(record: Record, transaction_topic: str, message_topic: str) -> Record | Decoded:
    """The record decoded, or itself where the projector has to look at it: it carries a message, no value, or poison."""
    if record.value is None or record.partition[0] == message_topic:
        return record
    try:
        return Decoded(record.partition, record.offset, carried_by(record, transaction_topic))
    except Poison:
        return record

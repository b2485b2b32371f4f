"""Dead letters: changes that are parked, because they cannot be applied or because something of their row is parked."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

import msgspec

from cdc.assembler import Transaction
from cdc.change import Change
from cdc.lsn import lsn_text
from cdc.poison import decode_again
from cdc.spool import Changes

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Change).decode


class Place(NamedTuple):
    """A record's place in Kafka: what a dead letter is known by."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


def place_of(text: str) -> Place | None:
    """The reverse of ``str(place)``; None for anything else."""
    head, _, offset = text.rpartition("]@")
    topic, _, partition = head.rpartition("[")
    if not (topic and partition.isdecimal() and offset.isdecimal()):
        return None
    return Place(topic, int(partition), int(offset))


class Asked(NamedTuple):
    """What an operator wants."""

    place: Place
    action: Literal["retry", "drop"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A parked change. ``key``, ``old_key`` and ``payload`` hold values: they go nowhere but into the store."""

    place: Place
    table: str  #: schema.table
    key: bytes  #: JSON, in one form for equal keys
    old_key: bytes | None  #: the row's key before, for the second half of a key change
    xid: int | None  #: the source transaction, 32 bit; None when the record names none
    end_lsn: int  #: of the source transaction, or of the one applied last before a record that names none
    order: int  #: place in the transaction
    committed_us: int
    reason: str
    payload: bytes

    @property
    def change(self) -> Change:
        """What is to be applied. Raises Poison when it still cannot be understood."""
        change = _decode(self.payload)
        return decode_again(change) if change.op == "x" else change

    @property
    def logged(self) -> dict[str, str]:
        """For a log line: where it lies, and where its transaction ended."""
        return {"place": str(self.place), "lsn": lsn_text(self.end_lsn)}

    @property
    def shown(self) -> dict[str, str | int | None]:
        """What an operator may see of it: no values."""
        return {
            "id": str(self.place),
            **self.place._asdict(),
            "table": self.table,
            "key_hash": hashlib.sha256(self.key).hexdigest()[:16],
            "xid": self.xid,
            "end_lsn": lsn_text(self.end_lsn),
            "order": self.order,
            "bytes": len(self.payload),
            "reason": self.reason,
        }

    @property
    def position(self) -> tuple[int, int, int]:
        """Sorts letters of one row as they are to be applied."""
        return self.end_lsn, self.order, self.place.offset


def letter_of(change: Change, topic: str, transaction: Transaction | None, end_lsn: int, reason: str) -> DeadLetter:
    """A letter of a change; ``transaction``: the one it belongs to, else ``end_lsn`` says after which it came."""
    assert change.key is not None
    return DeadLetter(
        place=Place(topic, change.partition, change.offset),
        table=change.table,
        key=canonical(change.key),
        old_key=canonical(change.old_key) if change.old_key is not None else None,
        xid=change.xid,
        end_lsn=transaction.end_lsn if transaction else end_lsn,
        order=change.order,
        committed_us=transaction.committed_us if transaction else change.committed_us,
        reason=reason,
        payload=_encode(change),
    )


def canonical(key: bytes) -> bytes:
    """A key's JSON in one form for equal keys; what is no JSON stays as it is."""
    try:
        return msgspec.json.encode(msgspec.json.decode(key))
    except msgspec.MsgspecError:
        return key


def together(letters: Iterable[DeadLetter], first: DeadLetter) -> list[DeadLetter]:
    """``first`` and all that have to be applied in one order with it, in that order: those of its key, and of every key
    that the row had before or after."""
    of_table = [letter for letter in letters if letter.table == first.table]
    keys, grown = {first.key}, True
    while grown:
        links = [{letter.key, letter.old_key} - {None} for letter in of_table]
        more = {key for link in links if link & keys for key in link if key is not None}
        grown = not more <= keys
        keys |= more
    return sorted((letter for letter in of_table if letter.key in keys), key=lambda letter: letter.position)


def parts(letters: Iterable[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """Letters of one order, by the source transaction that they are of."""
    for _, of in groupby(letters, key=lambda letter: (letter.xid, letter.end_lsn)):
        yield list(of)


class Without:
    """A transaction's changes but for some places in it."""

    def __init__(self, changes: Changes, orders: Container[int]) -> None:
        self._changes = changes
        self._orders = orders
        self._count = sum(1 for change in changes if change.order not in orders)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Change]:
        return (change for change in self._changes if change.order not in self._orders)

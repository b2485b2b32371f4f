"""The row's latest records in Kafka, found by reading its table's topic backwards, window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import msgspec
from kafka.partitioner.default import murmur2

from cdc.change import Change, decode_change, json_object
from cdc.errors import Poison, ReadsideError
from cdc.partitions import Partition
from cdc.poison import locate
from cdc.reader import KafkaPythonReader, Record
from cdc.trail import decode_trail
from config.settings import Settings
from projectors.letters import Place
from stack.broker import open_reader
from stack.legible import legible_row
from stack.trace.sought import Sought

_WINDOW = 2_000  # records; each further one is that many times as large
_GROWTH = 4
_QUIET_POLLS = 4
_POLL_S = 0.5

#: Told what is being done, for a person who waits.
Say = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One record of the row."""

    place: Place
    change: Change
    read_us: int | None  #: when Debezium made it, by its clock
    kafka_ms: int | None  #: when it was sent to Kafka


@dataclass(frozen=True, slots=True, kw_only=True)
class Passages:
    """The row's latest records, oldest first. ``fault`` is why there are none to see."""

    fault: str = ""
    found: tuple[Passage, ...] = ()
    scanned: int = 0
    whole: bool = False  #: whether all that Kafka holds of the row's partition was looked at


def look(settings: Settings, sought: Sought, *, latest: int, most: int, say: Say) -> Passages:
    """The ``latest`` records of the row among the ``most`` last ones of its topic."""
    try:
        with closing(open_reader(settings)) as reader:
            partitions = reader.partitions(sought.table.topic)
            first = _partition_of(sought, partitions)
            passages = _latest(reader, sought, first or partitions, latest, most, say)
            if not passages.found and first:  # written by another producer, or before there were so many partitions
                others = [partition for partition in partitions if partition not in first]
                passages = _latest(reader, sought, others, latest, most, say)
            return passages
    except ReadsideError as exc:
        return Passages(fault=str(exc))


def _partition_of(sought: Sought, partitions: list[Partition]) -> list[Partition]:
    """Where Kafka's own producer puts the key, as a list; empty where its bytes cannot be told."""
    known = {column.name: column for column in sought.table.columns}
    plain = all(
        name in known and (isinstance(value, int) or known[name].base_type in ("text", "varchar", "uuid"))
        for name, value in sought.key.items()
    )
    if not (plain and partitions):
        return []
    return [partitions[(murmur2(msgspec.json.encode(dict(sought.key))) & 0x7FFFFFFF) % len(partitions)]]


def _latest(
    reader: KafkaPythonReader, sought: Sought, partitions: list[Partition], latest: int, most: int, say: Say
) -> Passages:
    begins, ends = reader.begin_offsets(partitions), reader.end_offsets(partitions)
    found: list[Passage] = []
    scanned, whole = 0, True
    for partition in partitions:
        window, upper, here = _WINDOW, ends[partition], list[Passage]()
        while upper > begins[partition] and len(here) < latest and scanned < most:
            lower = max(begins[partition], upper - window)
            records = list(_between(reader, partition, lower, upper))
            here = [passage for record in records if (passage := _passage(record, sought)) is not None] + here
            scanned, upper, window = scanned + upper - lower, lower, window * _GROWTH
            say(f"reading Kafka: {scanned} records of {partition[0]} …")
        whole = whole and upper <= begins[partition]
        found += here
    found.sort(key=lambda passage: (passage.change.lsn, passage.place))
    return Passages(found=tuple(found[-latest:]), scanned=scanned, whole=whole)


def _between(reader: KafkaPythonReader, partition: Partition, lower: int, upper: int) -> Iterator[Record]:
    """A partition's records from ``lower`` on, before ``upper``. Offsets have gaps, so their end is a silence too."""
    reader.assign({partition: lower})
    quiet = 0
    while quiet < _QUIET_POLLS:
        records = reader.poll(_POLL_S, _WINDOW)
        quiet = 0 if records else quiet + 1
        yield from (record for record in records if record.offset < upper)
        if records and records[-1].offset >= upper - 1:
            return


def _passage(record: Record, sought: Sought) -> Passage | None:
    """The record, if it is of the row: also one that moved it to another key, and a damaged one."""
    if record.value is None or record.key is None:
        return None
    place = Place(*record.partition, record.offset)
    try:
        change = decode_change(record.value, record.key, record.headers, place.partition, place.offset)
    except Poison as exc:
        table = sought.table.qualified
        change = locate(record.value, record.key, record.headers, table, str(exc), place.partition, place.offset)
    if change is None or not any(_is_of(key, sought) for key in (change.key, change.old_key)):
        return None
    kafka_ms = record.timestamp_ms if record.timestamp_ms >= 0 else None
    return Passage(place=place, change=change, read_us=decode_trail(record.value).read_us, kafka_ms=kafka_ms)


def _is_of(key: bytes | None, sought: Sought) -> bool:
    named = None if key is None else json_object(key)
    if named is None:
        return False
    try:
        return sought.is_key(legible_row(named, sought.table.columns))
    except msgspec.MsgspecError:
        return False

"""``readside tail``: the change stream as it comes, decoded, one JSON line for each change.

Reads Kafka as the projectors do, from offsets of its own: it joins no group, commits nothing, and is noticed by nobody.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Literal

import msgspec

from cdc.change import Change, decode_change
from cdc.errors import Poison, ReadsideError, Transient
from cdc.lsn import lsn_text
from cdc.partitions import Partition
from cdc.reader import KafkaPythonReader, Record
from cdc.trail import decode_trail
from config.settings import Settings
from projectors.checkpoint import time_of
from queries.store import rfc3339
from stack.broker import open_reader
from stack.captured import Captured, captured, named
from stack.errors import StackError
from stack.interrupts import noted
from stack.legible import legible_columns, legible_row
from stack.sql.visible import json_visible
from stack.terminal import talk

Begin = Literal["beginning", "end"]
Line = dict[str, Any]

OPERATIONS = {"r": "snapshot", "c": "insert", "u": "update", "d": "delete", "t": "truncate", "x": "damaged"}
_POLL_S = 0.5
_RECORDS = 500  # of one poll
_AGAIN_S = 1.0
_encode = msgspec.json.Encoder()
_object = msgspec.json.Decoder(dict[str, Any])


def run(settings: Settings, names: Sequence[str], *, begin: Begin, limit: int | None, values: bool) -> int:
    """Print the changes of the named tables, all without a name, until ``limit``, Ctrl-C, or the reader of it has gone."""
    known = captured(settings)
    tables = {table.topic: table for table in ([named(known, name) for name in names] or known)}
    try:
        with noted() as pressed:
            for number, line in enumerate(_lines(settings, tables, begin, pressed, values=values), 1):
                sys.stdout.write(line)
                sys.stdout.flush()
                if number == limit:
                    break
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Python would flush once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def _lines(
    settings: Settings, tables: Mapping[str, Captured], begin: Begin, ended: threading.Event, *, values: bool
) -> Iterator[str]:
    for record in records(settings, sorted(tables), begin, ended):
        if (line := line_of(record, tables[record.partition[0]], values=values)) is not None:
            text = _encode.encode(line).decode()
            yield (json_visible(text) if sys.stdout.isatty() else text) + "\n"


def records(settings: Settings, topics: Sequence[str], begin: Begin, ended: threading.Event) -> Generator[Record]:
    """Every record from there on, until ``ended`` is set; a broker that goes away is waited for."""
    position: dict[Partition, int] = {}
    said = False
    while not ended.is_set():
        try:
            with closing(open_reader(settings)) as reader:
                position = _placed(reader, topics, begin, position)
                if not said:
                    place = "the beginning" if begin == "beginning" else "now"
                    tables = "1 table" if len(topics) == 1 else f"{len(topics)} tables"
                    talk.print(f"{tables} from {place} on; Ctrl-C ends it", style="dim")
                said = True
                reader.assign(position)
                while not ended.is_set():
                    for record in reader.poll(_POLL_S, _RECORDS):
                        position[record.partition] = record.offset + 1
                        yield record
        except Transient as exc:
            if not said:
                raise StackError(f"{exc}; see `readside status`") from exc
            talk.print(f"{exc}; trying again", style="yellow", markup=False)
            time.sleep(_AGAIN_S)
        except ReadsideError as exc:
            raise StackError(str(exc)) from exc


def _placed(
    reader: KafkaPythonReader, topics: Iterable[str], begin: Begin, before: Mapping[Partition, int]
) -> dict[Partition, int]:
    """Where to read each partition on. One that came while others were read already is read from its beginning."""
    partitions = [partition for topic in topics for partition in reader.partitions(topic)]
    begins = reader.begin_offsets(partitions)
    if before or begin == "beginning":
        return begins | {partition: before[partition] for partition in partitions if partition in before}
    return reader.end_offsets(partitions)


def line_of(record: Record, table: Captured, *, values: bool) -> Line | None:
    """What a record says, ready for JSON; None for one that is no change. A damaged one is told as such, with its reason."""
    if record.value is None:
        return None  # the tombstone behind a delete
    number, offset = record.partition[1], record.offset
    try:
        change = decode_change(record.value, record.key, record.headers, number, offset)
    except Poison as exc:
        return _damaged(record, table, str(exc), values=values)
    return None if change is None else _line(record, table, change, values=values)


def _line(record: Record, table: Captured, change: Change, *, values: bool) -> Line:
    known = {column.name: column for column in table.columns}
    line: Line = {
        "table": change.table,
        "op": OPERATIONS[change.op],
        "key": legible_columns(_object.decode(change.key), known) if change.key else None,
        "position": position_of(record),
        "lsn": lsn_text(change.lsn),
        "xid": change.xid,
        "committed_at": rfc3339(time_of(change.committed_us)) if change.op != "r" else None,
    }
    if change.old_key is not None:
        line["old_key"] = legible_columns(_object.decode(change.old_key), known)
    if change.partial:
        line["partial"] = True  # columns that the update did not touch are not in it
    if values:
        line["old"] = _old(record, table, change)
        line["new"] = legible_row(change.row, table.columns) if change.row else None
    return line


def _old(record: Record, table: Captured, change: Change) -> Line | None:
    """The row before. Without replica identity full only its key is told: other columns come filled with defaults."""
    key = change.key if change.op == "d" else change.old_key
    before = decode_trail(record.value or b"").before if table.whole else key
    return legible_row(before, table.columns) if before else None


def _damaged(record: Record, table: Captured, reason: str, *, values: bool) -> Line:
    line: Line = {"table": table.qualified, "op": OPERATIONS["x"], "position": position_of(record), "reason": reason}
    if values:
        line["record"] = (record.value or b"").decode(errors="backslashreplace")
    return line


def position_of(record: Record) -> str:
    """Where a record lies, as everything of readside writes it."""
    return f"{record.partition[0]}[{record.partition[1]}]@{record.offset}"

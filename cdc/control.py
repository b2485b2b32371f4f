"""The control topic: readside's own notes about the snapshots that lie in Kafka, and about who supervises the connector.

Debezium marks a last snapshot row, but not always, and rows of other partitions may be sent after it. A snapshot is noted
as whole only when Connect has stored the offset of a *streamed* record, for which every record before it must have been
acknowledged. Before a later one begins, where the stream before it ended is noted, and a barrier goes into the transaction
topic: transactions behind it belong to the new snapshot and mean nothing to a store that has not loaded it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from cdc.catalog import control_topic, transaction_topic
from cdc.change import Headers
from cdc.errors import Transient
from cdc.partitions import Partition, unpacked
from cdc.reader import KafkaPythonReader, Record

Offsets = dict[str, dict[str, int]]  # by topic and partition

_BARRIER = "readside.snapshot"
_SUPERVISIONS_REMEMBERED = 1_000
_KEPT_S = 30.0  # a connection that was not used for longer may be gone


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole snapshot in Kafka. A store loads from ``begin`` and is complete when it has read up to ``end``."""

    system_identifier: int  #: of the source's PostgreSQL cluster
    database: str
    slot: str
    begin: Offsets  #: where the snapshot's records begin
    end: Offsets  #: an offset behind its last record
    generation: int = 1  #: counts up with each snapshot
    since: Offsets = field(default_factory=Offsets)  #: where the stream before it ended; empty for the first
    shape: str = (
        ""  #: fingerprint of the tables' shapes, the same when it began and when it was whole; empty: not known
    )
    timeline: int = 0  #: of the source's WAL; 0: not known
    confirmed: int = 0  #: the slot's confirmed LSN when the note was written

    def partitions(self) -> dict[Partition, tuple[int, int]]:
        """(begin, end) by partition."""
        ends = unpacked(self.end)
        return {partition: (offset, ends[partition]) for partition, offset in unpacked(self.begin).items()}


@dataclass(frozen=True, slots=True)
class Begun:
    """A snapshot on its way; the same generation begins again when an attempt fails."""

    generation: int
    reason: str
    since: Offsets
    begin: Offsets
    shape: str = ""


@dataclass(frozen=True, slots=True)
class Control:
    """What the control topic says."""

    snapshots: tuple[Snapshot, ...] = ()  #: whole ones, oldest first
    begun: Begun | None = None  #: the one on its way
    requested: str | None = None  #: why another one was asked for, after the latest began
    supervisions: tuple[str, ...] = ()  #: the latest ones, oldest first, by which their canaries are known

    @property
    def latest(self) -> Snapshot | None:
        """The newest whole snapshot."""
        return self.snapshots[-1] if self.snapshots else None

    def after(self, generation: int) -> Snapshot | None:
        """The next whole snapshot behind a generation."""
        return next((s for s in self.snapshots if s.generation > generation), None)

    def told(self, record: Record) -> Control:
        """With what one more record says; records of other kinds say nothing of snapshots."""
        if record.value is None:
            return self
        match record.key:
            case None | b"snapshot":
                return replace(self, snapshots=(*self.snapshots, Snapshot(**json.loads(record.value))), begun=None)
            case b"snapshot-begun":
                return replace(self, begun=Begun(**json.loads(record.value)), requested=None)
            case b"snapshot-request":
                return replace(self, requested=json.loads(record.value)["reason"])
            case b"supervision":
                noted = (*self.supervisions, json.loads(record.value)["life"])
                return replace(self, supervisions=noted[-_SUPERVISIONS_REMEMBERED:])
            case _:
                return self


class ControlTopic:
    """Reads the control topic on from where it was read last, over a connection that is kept while it is asked often."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._bootstrap = bootstrap
        self._partition = (control_topic(prefix), 0)
        self._reader: KafkaPythonReader | None = None
        self._assigned = False
        self._asked_at = 0.0
        self._read = 0
        self._control = Control()

    def connect(self) -> None:
        """Connect ahead of the first ``refresh``: kafka-python asks for a topic's metadata a tenth of a second after it has
        connected, not before. Raises Transient."""
        self._connected()
        self._asked_at = time.monotonic()

    def refresh(self) -> Control:
        """What the topic says now. Raises Transient."""
        if time.monotonic() - self._asked_at > _KEPT_S:
            self.close()
        try:
            self._read_on()
        except BaseException:
            self.close()
            raise
        self._asked_at = time.monotonic()
        return self._control

    def close(self) -> None:
        """Give the connection back; the next ``refresh`` makes another."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _connected(self) -> KafkaPythonReader:
        if self._reader is None:
            self._reader, self._assigned = KafkaPythonReader(self._bootstrap), False
        return self._reader

    def _read_on(self) -> None:
        reader = self._connected()
        if not self._assigned:
            if self._partition not in reader.partitions(self._partition[0]):
                return self.close()
            if reader.end_offsets([self._partition])[self._partition] < self._read:  # it was made anew
                self._read, self._control = 0, Control()
            reader.assign({self._partition: self._read})
            self._assigned = True
        end = reader.end_offsets([self._partition])[self._partition]
        while self._read < end:
            for record in reader.poll(1.0, 100):
                self._read = record.offset + 1
                self._control = self._control.told(record)


def read_control(bootstrap: str, prefix: str) -> Control:
    """What the control topic says, read once. Raises Transient."""
    with closing(ControlTopic(bootstrap, prefix)) as topic:
        return topic.refresh()


def note_snapshot(bootstrap: str, prefix: str, snapshot: Snapshot) -> None:
    """Note a whole snapshot and wait until Kafka has it. Raises Transient."""
    _send(bootstrap, control_topic(prefix), b"snapshot", asdict(snapshot))


def note_begun(bootstrap: str, prefix: str, begun: Begun) -> None:
    """Note that a snapshot begins, and set the barrier behind the transactions before it. Raises Transient."""
    _send(bootstrap, control_topic(prefix), b"snapshot-begun", asdict(begun))
    number = str(begun.generation)
    # Without a value, as a tombstone is: whoever else reads Debezium's topic knows how to pass over that.
    key = json.dumps({"id": f"{_BARRIER}:{number}"}).encode()
    _send(bootstrap, transaction_topic(prefix), key, None, [(_BARRIER, number.encode())])


def request_snapshot(bootstrap: str, prefix: str, reason: str) -> None:
    """Ask the connector's supervision for a new snapshot; it begins when none is on its way. Raises Transient."""
    _send(bootstrap, control_topic(prefix), b"snapshot-request", {"reason": reason})


def note_supervision(bootstrap: str, prefix: str, supervision: str) -> None:
    """Note whose canaries are readside's, before the first of them. Raises Transient."""
    _send(bootstrap, control_topic(prefix), b"supervision", {"life": supervision})


def barrier_generation(headers: Headers) -> int | None:
    """The generation that begins behind this record of the transaction topic; None when it is no barrier."""
    return next((int(value) for name, value in headers if name == _BARRIER and value), None)


def _send(
    bootstrap: str,
    topic: str,
    key: bytes,
    value: Mapping[str, Any] | None,
    headers: Sequence[tuple[str, bytes]] = (),
) -> None:
    try:
        producer = KafkaProducer(bootstrap_servers=bootstrap.split(","), acks="all")
        try:
            encoded = None if value is None else json.dumps(value).encode()
            producer.send(topic, value=encoded, key=key, partition=0, headers=[*headers]).get(timeout=10)
        finally:
            producer.close()
    except KafkaError as exc:
        raise Transient(f"Kafka at {bootstrap} does not answer: {type(exc).__name__}") from exc

"""The control topic: readside's note that a snapshot lies in Kafka whole, and between which offsets.

Debezium marks a last snapshot row, but not always, and rows of other partitions may be sent after it. The note is
written only when Connect has stored the offset of a *streamed* record, for which every record before it must have been
acknowledged. A store loads from ``begin`` and is complete when it has read up to ``end``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from kafka import KafkaProducer
from kafka.errors import KafkaError

from cdc.assembler import Partition, unpacked
from cdc.catalog import control_topic
from cdc.errors import Transient
from cdc.reader import KafkaPythonReader


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole snapshot in Kafka."""

    system_identifier: int  #: of the source's PostgreSQL cluster
    database: str
    slot: str
    begin: dict[str, dict[str, int]]  #: by topic and partition: where the snapshot's records begin
    end: dict[str, dict[str, int]]  #: an offset behind its last record

    def partitions(self) -> dict[Partition, tuple[int, int]]:
        """(begin, end) by partition."""
        ends = unpacked(self.end)
        return {partition: (offset, ends[partition]) for partition, offset in unpacked(self.begin).items()}


def latest_snapshot(bootstrap: str, prefix: str) -> Snapshot | None:
    """The newest note, or None when no snapshot has been completed. Raises Transient."""
    reader = KafkaPythonReader(bootstrap)
    try:
        control = (control_topic(prefix), 0)
        if control not in reader.partitions(control[0]):
            return None
        end = reader.end_offsets([control])[control]
        reader.assign({control: 0})
        newest: Snapshot | None = None
        read = 0
        while read < end:
            for record in reader.poll(1.0, 100):
                read = record.offset + 1
                if record.value is not None:
                    newest = Snapshot(**json.loads(record.value))
        return newest
    finally:
        reader.close()


def note_snapshot(bootstrap: str, prefix: str, snapshot: Snapshot) -> None:
    """Write the note and wait until Kafka has it. Raises Transient."""
    try:
        producer = KafkaProducer(bootstrap_servers=bootstrap.split(","), acks="all")
        try:
            value = json.dumps(asdict(snapshot)).encode()
            producer.send(control_topic(prefix), value=value, partition=0).get(timeout=10)
        finally:
            producer.close()
    except KafkaError as exc:
        raise Transient(f"Kafka at {bootstrap} does not answer: {type(exc).__name__}") from exc

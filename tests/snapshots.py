"""What Debezium and the connector's supervision write into a scripted log when a snapshot is taken."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from cdc.catalog import topic_of, transaction_topic
from cdc.control import Begun, Control, Offsets, Snapshot
from cdc.partitions import packed
from tests.scripted import PREFIX, ScriptedSource


class ScriptedSnapshots:
    """The control topic's part: ``control`` is what it says."""

    def __init__(self, source: ScriptedSource) -> None:
        """With the first snapshot: of a database that held nothing."""
        self._source = source
        nothing = {
            topic: {str(n): 0 for t, n in source.log.partitions if t == topic} for topic, _ in source.log.partitions
        }
        self.control = Control((_snapshot(1, {}, nothing, nothing),))

    def take(self, shape: str = "") -> int:
        """A whole snapshot of what the source holds now; the position its rows carry. ``shape``: see Snapshot."""
        self.begin()
        lsn = self.write()
        self.note(shape)
        return lsn

    def begin(self) -> None:
        """End the stream here; again, when the attempt before has failed."""
        latest, failed = self.control.latest, self.control.begun
        generation = latest.generation + 1 if latest else 1
        since = failed.since if failed else self._ends()
        self.control = replace(self.control, begun=Begun(generation, "a test", since, self._ends()))
        barrier = [("readside.snapshot", str(generation).encode())]
        self._source.log.append(transaction_topic(PREFIX), None, None, barrier)

    def write(self) -> int:
        """Debezium's rows of everything there is; the position they carry."""
        lsn = self._source.wal_position()
        self._write("true", lsn)
        self._source.log.transactions.clear()  # a new slot knows none of them
        return lsn

    def write_incremental(self) -> None:
        """The rows of an incremental snapshot that somebody asked Debezium for: no position, and the stream goes on."""
        self._write("incremental", None)

    def _write(self, kind: str, lsn: int | None) -> None:
        for table in self._source.log.tables:
            query = f'select to_jsonb(t) from "{table.schema}"."{table.name}" t'
            for (row,) in self._source.connection.execute(query).fetchall():  # pyright: ignore[reportArgumentType]
                image = self._source.image(table, row)
                key = json.dumps({name: image[name] for name in table.key}).encode()
                value = {"op": "r", "before": None, "after": image, "source": _block(table, kind, lsn)}
                self._source.log.append(topic_of(PREFIX, table), key, json.dumps(value).encode(), [])

    def note(self, shape: str = "") -> None:
        """Note that the snapshot is whole."""
        begun = self.control.begun
        assert begun is not None
        whole = replace(_snapshot(begun.generation, begun.since, begun.begin, self._ends()), shape=shape)
        self.control = Control((*self.control.snapshots, whole))

    def _ends(self) -> Offsets:
        return packed({partition: len(records) for partition, records in self._source.log.partitions.items()})


def _block(table: Any, kind: str, lsn: int | None) -> dict[str, Any]:
    return {"schema": table.schema, "table": table.name, "lsn": lsn, "ts_us": (lsn or 0) * 1000, "snapshot": kind}


def _snapshot(generation: int, since: Offsets, begin: Offsets, end: Offsets) -> Snapshot:
    return Snapshot(1, "shop", "readside", begin=begin, end=end, generation=generation, since=since)

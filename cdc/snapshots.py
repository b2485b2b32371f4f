"""Snapshots of the source into Kafka: begun, and noted once they lie there whole.

Each begins with a slot that Debezium makes anew, so that the snapshot and the stream behind it meet at one point. Nothing
that the stream before it would still have carried is missing: the snapshot holds it, and stores load it as a difference.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import psycopg

from cdc import continuity
from cdc.catalog import Table, message_topic, topic_of, topics_of, transaction_topic
from cdc.connect import Connect
from cdc.control import Begun, ControlTopic, Offsets, Snapshot, note_begun, note_snapshot, note_supervision
from cdc.errors import Fatal, Transient
from cdc.partitions import packed
from cdc.reader import KafkaPythonReader
from cdc.shapes import fingerprint, read_shapes
from config.settings import Settings

logger = logging.getLogger(__name__)

_SLOT_RELEASED_S = 30.0


class Snapshots:
    """The supervision's part that takes snapshots. Every method raises Transient."""

    def __init__(
        self, settings: Settings, tables: Sequence[Table], connect: Connect, source: psycopg.Connection[Any]
    ) -> None:
        self._settings = settings
        self._tables = tables
        self._connect = connect
        self._source = source
        self._topic = ControlTopic(settings.kafka, settings.topic_prefix)
        self._control = self._topic.refresh()

    def close(self) -> None:
        """Give the connection to Kafka back."""
        self._topic.close()

    @property
    def current(self) -> Snapshot | None:
        """The whole snapshot that the running stream continues; None while there is none or another one is on its way."""
        return None if self._control.begun else self._control.latest

    def wanted(self) -> str | None:
        """Why a snapshot is to begin now, if it is."""
        self._control = self._topic.refresh()
        if self._control.begun is not None:
            return None
        if (latest := self._control.latest) is None:
            return "the first"
        if added := topics_of(self._settings.topic_prefix, self._tables).keys() - latest.begin.keys():
            return f"topics added: {', '.join(sorted(added))}"
        return self._control.requested

    def begin(self, reason: str, config: dict[str, str]) -> None:
        """End the stream, note where, and let the connector take a snapshot under ``config``; a failed one again."""
        known = self._connect.status() is not None
        if known:
            self._connect.stop()
        self._drop_slot()
        ends, latest, failed = self._end_offsets(), self._control.latest, self._control.begun
        begun = Begun(
            generation=latest.generation + 1 if latest else 1,
            reason=reason,
            since=failed.since if failed else ends if latest else {},
            begin=ends,
            shape=self._shape(),
        )
        note_begun(self._settings.kafka, self._settings.topic_prefix, begun)
        self._control = self._topic.refresh()
        if known:
            self._connect.restart_at_slot(config)  # there is none: Debezium makes it
        else:
            self._connect.put(config)
        logger.info("snapshot begun", extra={"action": "snapshot_begun", "reason": reason})

    def begin_again(self, config: dict[str, str]) -> None:
        """Begin once more after an attempt that failed."""
        begun = self._control.begun
        assert begun is not None
        self.begin(begun.reason, config)

    def note_when_whole(self, config: Callable[[], dict[str, str]]) -> None:
        """Note the snapshot on its way if Kafka holds it whole by now; begin once more if tables changed meanwhile.

        ``config`` is called in the latter case alone: it reads the source's catalogue, and this is asked often.
        """
        begun, offset = self._control.begun, self._connect.offset()
        if begun is None or offset is None or offset.get("snapshot") or offset.get("snapshot_completed") is False:
            return
        if begun.shape not in ("", self._shape()):
            self.begin_again(config())
            return
        source = continuity.read_source(self._source, self._settings.slot)
        snapshot = Snapshot(
            system_identifier=source.system_identifier,
            database=source.database,
            timeline=source.timeline,
            confirmed=source.confirmed or 0,
            slot=self._settings.slot,
            begin=begun.begin,
            end=self._end_offsets(),
            generation=begun.generation,
            since=begun.since,
            shape=begun.shape,
        )
        note_snapshot(self._settings.kafka, self._settings.topic_prefix, snapshot)
        self._control = self._topic.refresh()
        logger.info("snapshot whole", extra={"action": "snapshot_whole", "generation": snapshot.generation})

    def went_over_to(self, timeline: int) -> None:
        """Note that the stream behind the current snapshot goes on on another timeline of the source."""
        assert self.current is not None
        note_snapshot(self._settings.kafka, self._settings.topic_prefix, replace(self.current, timeline=timeline))
        self._control = self._topic.refresh()

    def note_supervision(self, supervision: str) -> None:
        """Have the control topic tell whose canaries come now; nothing to do while it does."""
        if supervision not in self._control.supervisions:
            note_supervision(self._settings.kafka, self._settings.topic_prefix, supervision)
            self._control = self._topic.refresh()

    def _drop_slot(self) -> None:
        slot = {"slot": self._settings.slot}
        deadline = time.monotonic() + _SLOT_RELEASED_S
        while self._source.execute(
            "select from pg_replication_slots where slot_name = %(slot)s and active and database = current_database()",
            slot,
        ).fetchone():
            if time.monotonic() > deadline:
                raise Transient(f"replication slot {self._settings.slot} is still in use, so it cannot be made anew")
            time.sleep(0.1)
        self._source.execute(
            """
            select pg_drop_replication_slot(slot_name)
              from pg_replication_slots
             where slot_name = %(slot)s and database = current_database()
            """,
            slot,
        )

    def _shape(self) -> str:
        tables = frozenset(table.qualified for table in self._tables)
        shapes = read_shapes(source_dsn(self._settings), self._settings.publication, self._settings.tables)
        return fingerprint({table: shape for table, shape in shapes.items() if table in tables})

    def _end_offsets(self) -> Offsets:
        reader = KafkaPythonReader(self._settings.kafka)
        try:
            prefix = self._settings.topic_prefix
            own = [transaction_topic(prefix), message_topic(prefix)]
            topics = [topic_of(prefix, table) for table in self._tables] + own
            return packed(reader.end_offsets(p for topic in topics for p in reader.partitions(topic)))
        finally:
            reader.close()


def source_dsn(settings: Settings) -> str:
    """The captured database's DSN. Raises Fatal when it is not set."""
    if settings.source_dsn is None:
        raise Fatal("READSIDE_SOURCE_DSN is not set: name the database to capture, or start the stack: `readside up`")
    return settings.source_dsn.get_secret_value()

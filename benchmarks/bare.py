"""The floor of a catch-up with confluent-kafka: polls, decodes and COPYs every row image into plain tables of text.

No model, no key, no order between tables, no transaction of the source's, no position kept. ``python -m benchmarks.bare
BOOTSTRAP DSN TOPIC…`` reads to the ends as they are at the start and prints ``changes records seconds``.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from psycopg.sql import SQL, Identifier

_BATCH = 10_000


class _Envelope(msgspec.Struct):
    op: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


def main() -> None:
    """Copy everything there is."""
    bootstrap, dsn, *topics = sys.argv[1:]
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "readside-bare",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,
        }
    )
    ends: dict[tuple[str | None, int | None], int] = {}
    partitions: list[TopicPartition] = []
    for topic in topics:
        for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
            partitions.append(TopicPartition(topic, number, OFFSET_BEGINNING))
            if end > 0:
                ends[topic, number] = end
    decoder = msgspec.json.Decoder(_Envelope)
    consumer.assign(partitions)
    began, records, changes = time.monotonic(), 0, 0
    with psycopg.connect(dsn) as connection:
        columns: dict[str, list[str]] = {}
        while ends:
            rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for message in consumer.consume(_BATCH, 0.1):
                topic, partition, offset = message.topic(), message.partition(), message.offset()
                records += 1
                if offset is not None and offset + 1 >= ends.get((topic, partition), offset + 2):
                    del ends[topic, partition]
                value = message.value()
                if value is None:
                    continue
                envelope = decoder.decode(value)
                if (row := envelope.after or envelope.before) is not None and topic is not None:
                    changes += 1
                    rows[topic].append(row)
            for topic, several in rows.items():
                if topic not in columns:
                    columns[topic] = _make(connection, topic, list(several[0]))
                _copy(connection, topic, columns[topic], several)
            connection.commit()
    sys.stdout.write(f"{changes} {records} {time.monotonic() - began}\n")
    consumer.close()


def _make(connection: psycopg.Connection[Any], topic: str, columns: list[str]) -> list[str]:
    connection.execute(
        SQL("create table {} ({})").format(
            Identifier(topic), SQL(", ").join(SQL("{} text").format(Identifier(name)) for name in columns)
        )
    )
    return columns


def _copy(
    connection: psycopg.Connection[Any], topic: str, columns: Sequence[str], rows: Sequence[dict[str, Any]]
) -> None:
    with connection.cursor().copy(SQL("copy {} from stdin").format(Identifier(topic))) as copy:
        for row in rows:
            copy.write_row([row[name] for name in columns])


if __name__ == "__main__":
    main()

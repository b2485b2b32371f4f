"""A second projector of a stack's topics, or of a copy of them that lacks something, into a store of its own."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from opentelemetry.sdk.trace import TracerProvider
from psycopg.sql import SQL, Identifier
from pydantic import SecretStr

from cdc.catalog import control_topic, message_topic, topics_of, transaction_topic
from cdc.errors import Transient
from cdc.partitions import Partition
from cdc.reader import KafkaPythonReader, Record
from config.settings import Settings
from projectors import run
from projectors.metrics import Metrics
from projectors.tracing import Traces


@contextmanager
def database(settings: Settings, name: str) -> Iterator[str]:
    """A database of the test's own on the stack's server; its libpq URL."""
    assert settings.admin_dsn is not None
    dsn = settings.admin_dsn.get_secret_value()
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(SQL("create database {}").format(Identifier(name)))
        try:
            yield dsn.rpartition("/")[0] + f"/{name}"
        finally:
            admin.execute(SQL("drop database {} with (force)").format(Identifier(name)))


@contextmanager
def projecting(
    settings: Settings, dsn: str, directory: Path, provider: TracerProvider | None = None
) -> Iterator[Settings]:
    """A projector in a thread, into an empty store; yields its settings."""
    stored = SecretStr(dsn)
    theirs = settings.model_copy(update={"serving_dsn": stored, "queries_dsn": stored, "data_dir": directory})
    metrics, stop = Metrics("serving"), threading.Event()
    metrics.traces = None if provider is None else Traces("serving", provider)

    def work() -> None:
        while not stop.is_set():
            with suppress(Transient):  # it asks to begin anew
                run.serving(theirs, stop, metrics)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield theirs
    finally:
        stop.set()
        thread.join(60)


class Copy:
    """Topics of another prefix that follow the stack's, offset by offset, but for what is missing."""

    def __init__(self, settings: Settings, prefix: str) -> None:
        self.settings = settings.model_copy(update={"topic_prefix": prefix})
        self.missing: set[int] = set()  #: xids of transactions of which no record is copied
        self._from, self._to = settings.topic_prefix, prefix
        self._reader = KafkaPythonReader(settings.kafka)
        tables = run.captured_tables(settings)
        names = [*topics_of(settings.topic_prefix, tables), *(of(settings.topic_prefix) for of in _OTHERS)]
        self._partitions = [partition for name in names for partition in self._reader.partitions(name)]
        with closing(KafkaAdminClient(bootstrap_servers=settings.kafka)) as admin:
            admin.create_topics([NewTopic(self._name(name), _count(self._partitions, name), 1) for name in names])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Follow no longer."""
        self._stop.set()
        self._thread.join()
        self._reader.close()

    def _run(self) -> None:
        # A note about snapshots names offsets, and in the stack's own Kafka lies behind them: here it waits until it does.
        notes: list[Record] = []
        reached, ends = dict.fromkeys(self._partitions, 0), dict[Partition, int]()
        with closing(
            KafkaProducer(bootstrap_servers=self.settings.kafka, max_in_flight_requests_per_connection=1)
        ) as to:
            self._reader.assign(reached)
            while not self._stop.is_set():
                noted = len(notes)
                for record in self._reader.poll(0.2, 1_000):
                    reached[record.partition] = record.offset + 1
                    if record.partition[0] == control_topic(self._from):
                        notes.append(record)
                    else:
                        self._send(to, record)
                if len(notes) > noted:
                    ends = self._reader.end_offsets(self._partitions)
                to.flush()
                if all(reached[partition] >= end for partition, end in ends.items()):
                    for record in notes:
                        self._send(to, record)
                    notes.clear()
                    to.flush()

    def _send(self, producer: KafkaProducer, record: Record) -> None:
        topic, number = record.partition
        value = record.value
        if value is not None:
            # What is missing leaves a tombstone, which says nothing: the snapshots' notes name places by their offsets.
            gone = any(b'"id":"%d:' % xid in value for xid in self.missing)
            value = None if gone else value.replace(f'"{self._from}.'.encode(), f'"{self._to}.'.encode())
        producer.send(self._name(topic), value, record.key, [*record.headers], number, record.timestamp_ms)

    def _name(self, topic: str) -> str:
        return f"{self._to}.{topic.removeprefix(self._from + '.')}"


_OTHERS = (transaction_topic, message_topic, control_topic)


def _count(partitions: Collection[Any], name: str) -> int:
    return sum(topic == name for topic, _ in partitions)

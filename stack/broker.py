"""A reader of Kafka for somebody at a terminal: that no broker answers is known after a second, not after half a minute."""

from __future__ import annotations

from kafka.errors import KafkaError

from cdc.errors import Transient
from cdc.reader import KafkaPythonReader
from config.settings import Settings
from queries.topics import log_of


def topics(settings: Settings) -> list[str]:
    """The pipeline's topics, bookkeeping included, in name order. Raises Transient when no broker answers."""
    try:
        ends, _ = log_of(settings.kafka, settings.topic_prefix).ends()
    except (KafkaError, OSError) as exc:
        raise Transient(f"Kafka at {settings.kafka} does not answer ({type(exc).__name__})") from exc
    return sorted(ends)


def open_reader(settings: Settings) -> KafkaPythonReader:
    """A reader. Raises Transient when no broker answers."""
    topics(settings)  # the reader itself would wait long for one that is only paused
    return KafkaPythonReader(settings.kafka)

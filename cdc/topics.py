"""Topics are made before the connector writes to them, so that their partitions and retention are ours to say."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from cdc.catalog import Table, control_topic, message_topic, topics_of, transaction_topic
from cdc.errors import Transient

_KEEP_FOREVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}


def ensure_topics(bootstrap: str, prefix: str, tables: Sequence[Table], partitions: int) -> None:
    """Make the tables' topics and readside's own where they are missing.

    The topics of transactions, canaries and notes have one partition: their order is the commit order. Raises Transient.
    """
    wanted = {topic: partitions for topic in topics_of(prefix, tables)}
    wanted |= {transaction_topic(prefix): 1, message_topic(prefix): 1, control_topic(prefix): 1}
    with admin(bootstrap) as client:
        untyped = cast("Any", client)  # the stub knows an older signature
        missing = wanted.keys() - set(client.list_topics())
        for topic in sorted(missing):
            options = {"num_partitions": wanted[topic], "replication_factor": -1, "configs": _KEEP_FOREVER}
            try:
                untyped.create_topics({topic: options}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                continue


@contextmanager
def admin(bootstrap: str) -> Generator[KafkaAdminClient]:
    """An admin client; Kafka's errors become Transient."""
    try:
        client = KafkaAdminClient(bootstrap_servers=bootstrap.split(","))
    except KafkaError as exc:
        raise Transient(f"Kafka at {bootstrap} does not answer: {type(exc).__name__}") from exc
    try:
        yield client
    except KafkaError as exc:
        raise Transient(f"Kafka at {bootstrap} refused: {type(exc).__name__}: {exc}") from exc
    finally:
        client.close()

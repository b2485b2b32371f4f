"""Kafka Connect as a child process, forgetful on purpose: its internal topics are named afresh at every start.

Debezium that resumes from an offset stored inside a transaction can lose the rest of that transaction; resuming at the
replication slot loses nothing. With new internal topics there is no stored offset to resume from, and no connector
either: `cdc.connector` creates it again, in the right mode.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

import httpx

from stack.java import Java, command
from stack.probe import answer

MAIN = "org.apache.kafka.connect.cli.ConnectDistributed"
_CONFIGURATION = Path(__file__).parents[1] / "config" / "connect.properties"


def prepare(directory: Path, *, url: str, kafka: str) -> None:
    """Write the configuration of the next start, and of that one alone."""
    start = uuid.uuid4().hex[:12]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "worker.properties").write_text(
        f"{_CONFIGURATION.read_text()}\n"
        f"bootstrap.servers={kafka}\n"
        f"listeners={url}\n"
        f"group.id=readside-connect-{start}\n"
        f"offset.storage.topic=readside-connect-offsets-{start}\n"
        f"config.storage.topic=readside-connect-configs-{start}\n"
        f"status.storage.topic=readside-connect-status-{start}\n"
    )


def worker(directory: Path, java: Java, jars: Sequence[Path]) -> list[str]:
    """The worker's command line; its environment carries READSIDE_CDC_PASSWORD."""
    return command(java, jars, MAIN, directory / "worker.properties", keep_classes=True)


def ready(url: str, cluster_id: str) -> bool:
    """True if a worker answers at the URL, can take a connector, and works for this Kafka cluster."""
    try:
        return answer(f"{url}/").json()["kafka_cluster_id"] == cluster_id and answer(f"{url}/health").is_success
    except (httpx.HTTPError, KeyError, ValueError):
        return False

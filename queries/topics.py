"""The ends of the pipeline's topics, as far as health needs them: what a store has not read yet lies before them."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, cast

from kafka import KafkaAdminClient
from kafka.structs import TopicPartition

from cdc.catalog import control_topic, message_topic, transaction_topic
from queries.probes import TIMEOUT_S, Offsets

_LATEST = -1  # what ListOffsets calls the end of a partition


def bookkeeping(prefix: str) -> frozenset[str]:
    """The topics whose records are no changes."""
    return frozenset({transaction_topic(prefix), message_topic(prefix), control_topic(prefix)})


class Log:
    """The end of every topic of the pipeline. Keeps one client, as making one takes longer than a look."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._bootstrap, self._prefix = bootstrap, prefix
        self._client: KafkaAdminClient | None = None
        self._turn = threading.Lock()
        self._before: tuple[float, int] | None = None

    def ends(self) -> tuple[Offsets, float | None]:
        """Offsets behind the last records, and changes per second since the last look (None the first time)."""
        if not self._turn.acquire(timeout=TIMEOUT_S):
            raise TimeoutError("Kafka did not answer the look before this one yet")
        try:
            ends = self._ends()
        except Exception:
            client, self._client = self._client, None
            if client is not None:
                client.close()
            raise
        finally:
            self._turn.release()
        changes = ends.keys() - bookkeeping(self._prefix)
        return ends, self._rate(sum(sum(ends[topic].values()) for topic in changes))

    def close(self) -> None:
        """Let the broker go; another look connects anew."""
        with self._turn:
            client, self._client = self._client, None
            if client is not None:
                client.close()

    def _ends(self) -> Offsets:
        if self._client is None:
            require_listener(self._bootstrap)  # kafka-python leaks sockets and logs at length where nobody listens
            timeouts_ms: Any = {name: int(TIMEOUT_S * 1000) for name in ("bootstrap_timeout_ms", "request_timeout_ms")}
            self._client = KafkaAdminClient(bootstrap_servers=self._bootstrap.split(","), **timeouts_ms)
        client = cast("Any", self._client)  # the stub knows an older signature
        wanted = {
            TopicPartition(topic["name"], partition["partition_index"]): _LATEST
            for topic in client.describe_topics()
            if topic["name"].startswith(f"{self._prefix}.")
            for partition in topic["partitions"]
        }
        found = client.list_partition_offsets(wanted, timeout_ms=int(TIMEOUT_S * 1000)) if wanted else {}
        ends: dict[str, dict[str, int]] = {}
        for (topic, partition), end in found.items():
            ends.setdefault(topic, {})[str(partition)] = end.offset
        return ends

    def _rate(self, total: int) -> float | None:
        now, before = time.monotonic(), self._before
        self._before = now, total
        return max(0, total - before[1]) / (now - before[0]) if before and now > before[0] else None


def require_listener(bootstrap: str) -> None:
    """Raise OSError unless one of the servers takes a connection."""
    *others, last = bootstrap.split(",")
    for server in (*others, last):
        host, _, port = server.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_S).close()
            return
        except OSError:
            if server is last:
                raise


_logs: dict[tuple[str, str], Log] = {}


def log_of(bootstrap: str, prefix: str) -> Log:
    """The one `Log` of this process for a broker."""
    return _logs.setdefault((bootstrap, prefix), Log(bootstrap, prefix))


def forget_logs() -> None:
    """Close them: a client goes on calling a broker that is gone for as long as it is open."""
    while _logs:
        _logs.popitem()[1].close()

"""Where a projector begins to read each partition."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cdc.errors import BEGIN_ANEW, HistoryLost, Transient
from cdc.partitions import Partition, unpacked
from cdc.reader import LogReader


def starts(reader: LogReader, topics: Collection[str], state: Mapping[str, Any]) -> dict[Partition, int]:
    """By partition of ``topics``, from a checkpoint's state. One that was added since is read from its start.

    A transaction is put together from whatever partitions its rows lie in, so keys that moved to other ones change
    nothing. Raises Transient for a topic that is not there yet, HistoryLost for a partition that is gone.
    """
    partitions: list[Partition] = []
    for topic in sorted(topics):
        found = reader.partitions(topic)
        if not found:
            raise Transient(f"topic {topic} does not exist yet; the connector's supervision makes it")
        partitions += found
    known = unpacked(state.get("restart", {}))
    if gone := {partition for partition in known if partition[0] in topics} - set(partitions):
        names = ", ".join(f"{topic}[{number}]" for topic, number in sorted(gone))
        raise HistoryLost(f"Kafka has no partitions {names} any more; {BEGIN_ANEW}")
    return {partition: known.get(partition, 0) for partition in partitions}

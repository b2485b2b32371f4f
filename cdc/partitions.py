"""Kafka's partitions, and offsets in them as JSON objects can hold them."""

from __future__ import annotations

from collections.abc import Mapping

Partition = tuple[str, int]  # topic, partition


def packed(offsets: Mapping[Partition, int]) -> dict[str, dict[str, int]]:
    """Offsets by topic and then partition, as JSON objects can hold them."""
    by_topic: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in sorted(offsets.items()):
        by_topic.setdefault(topic, {})[str(partition)] = offset
    return by_topic


def unpacked(by_topic: Mapping[str, Mapping[str, int]]) -> dict[Partition, int]:
    """The reverse of ``packed``."""
    return {(t, int(p)): offset for t, partitions in by_topic.items() for p, offset in partitions.items()}

"""The floor of a catch-up: a bare kafka-python consumer that reads topics from their beginning and does nothing with it.

``python -m benchmarks.poll BOOTSTRAP TOPIC…`` prints ``records seconds``.
"""

from __future__ import annotations

import sys
import time

from kafka import KafkaConsumer
from kafka.structs import TopicPartition


def main() -> None:
    """Read to the ends as they are at the start."""
    bootstrap, *topics = sys.argv[1:]
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap.split(","),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=8 * 1024 * 1024,
        fetch_max_bytes=64 * 1024 * 1024,
    )
    partitions = [TopicPartition(t, n) for t in topics for n in sorted(consumer.partitions_for_topic(t) or ())]
    ends = {tp: end for tp, end in consumer.end_offsets(partitions).items() if end > 0}
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    began, records = time.monotonic(), 0
    while ends:
        for tp, polled in consumer.poll(timeout_ms=500, max_records=10_000).items():
            records += len(polled)
            if polled[-1].offset + 1 >= ends.get(tp, polled[-1].offset + 2):
                del ends[tp]
    sys.stdout.write(f"{records} {time.monotonic() - began}\n")
    consumer.close()


if __name__ == "__main__":
    main()

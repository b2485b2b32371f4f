"""The floor: a bare kafka-python consumer on the orders' topic, in a process of its own. No model, no store, no guarantee.

``python -m benchmarks.floor BOOTSTRAP TOPIC``: ``ready`` on standard output; when standard input ends, a line per record,
``id commit_us seen_us``, both on the machine's clock.
"""

from __future__ import annotations

import sys
import threading
import time

import msgspec
from kafka import KafkaConsumer
from kafka.structs import TopicPartition


class _Row(msgspec.Struct):
    id: int


class _Source(msgspec.Struct):
    ts_us: int


class _Envelope(msgspec.Struct):
    op: str
    source: _Source
    after: _Row | None = None


def main() -> None:
    """Consume until standard input ends."""
    bootstrap, topic = sys.argv[1:]
    consumer = KafkaConsumer(bootstrap_servers=bootstrap.split(","), enable_auto_commit=False, group_id=None)
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    consumer.assign(partitions)
    consumer.seek_to_end()
    for partition in partitions:
        consumer.position(partition)
    decoder = msgspec.json.Decoder(_Envelope)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    seen: list[tuple[int, int, int]] = []  # printed at the end: a full pipe would stop the clock
    while not ended.is_set():
        polled = consumer.poll(timeout_ms=200)
        seen_us = time.time_ns() // 1000
        for records in polled.values():
            for record in records:
                if record.value is None:
                    continue
                envelope = decoder.decode(record.value)
                if envelope.op == "c" and envelope.after is not None:
                    seen.append((envelope.after.id, envelope.source.ts_us, seen_us))
    sys.stdout.writelines(f"{id} {commit_us} {seen_us}\n" for id, commit_us, seen_us in seen)
    sys.stdout.flush()
    consumer.close()


if __name__ == "__main__":
    main()

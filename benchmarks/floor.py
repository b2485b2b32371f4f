"""The floor: a bare kafka-python consumer on the orders' topic, in a process of its own. No model, no store, no guarantee.

``python -m benchmarks.floor BOOTSTRAP TOPIC``: ``ready`` on standard output; a line on standard input starts it, and when
standard input ends it prints a line per record since ``ready``, ``id commit_us seen_us``, both on the machine's clock.
Started late, it costs the run before nothing and still tells when each order was committed.
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
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    seen: list[tuple[int, int, int]] = []  # printed at the end: a full pipe would stop the clock
    while True:
        polled = consumer.poll(timeout_ms=200)
        if not polled and ended.is_set():
            break
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

"""Readers of ``bench freshness``, in a process of their own: each order is read over HTTP with its token.

``python -m benchmarks.readers ADDRESS THREADS``: ``ready`` on standard output, then lines ``id token`` on standard input; at
its end, ``id read_us`` (the machine's clock, when the answer had come) for each order that was answered 200.
"""

from __future__ import annotations

import http.client
import queue
import sys
import threading
import time

from config.settings import Settings
from stack import bearer


def main() -> None:
    """Read until standard input ends and everything in hand is answered."""
    address, threads = sys.argv[1], int(sys.argv[2])
    headers = bearer.headers(Settings())
    waiting: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
    seen: list[tuple[str, int]] = []  # printed at the end: a full pipe would stop the clock
    readers = [threading.Thread(target=_read, args=(address, headers, waiting, seen)) for _ in range(threads)]
    for reader in readers:
        reader.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        id, token = line.split()
        waiting.put((id, token))
    for _ in readers:
        waiting.put(None)
    for reader in readers:
        reader.join()
    sys.stdout.writelines(f"{id} {read_us}\n" for id, read_us in seen)


def _read(
    address: str,
    headers: dict[str, str],
    waiting: queue.SimpleQueue[tuple[str, str] | None],
    seen: list[tuple[str, int]],
) -> None:
    connection = http.client.HTTPConnection(address, timeout=30)
    while (item := waiting.get()) is not None:
        id, token = item
        connection.request("GET", f"/orders/{id}", headers={**headers, "Readside-Token": token, "Prefer": "wait=10"})
        response = connection.getresponse()
        response.read()
        if response.status == 200:
            seen.append((id, time.time_ns() // 1000))
    connection.close()


if __name__ == "__main__":
    main()

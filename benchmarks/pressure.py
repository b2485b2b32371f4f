"""Requests for pages of products over many connections, from a process of its own, as cheaply as Python can.

``python -m benchmarks.pressure ADDRESS CONNECTIONS UNDER_WAY SECONDS LEAST``: opens the connections, keeps so many requests
under way, each on the connection that has been idle longest, and prints what came of them as one JSON object. It goes on
after its time until ``LEAST`` requests are answered. Which product is asked for follows the catalogue's popularity.
"""

from __future__ import annotations

import json
import random
import resource
import select
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass

from benchmarks.catalogue import BASE, PRODUCTS, SKEW
from stack.freshness import percentile

_WARM_UP_S = 1.0
_ANSWER_S = 60.0  # a request that takes longer is an error
_PICKS = 100_000
_CONNECTIONS_PER_SOURCE = 5_000  # a source address has some 28,000 ports, and closed ones rest for a minute
_LENGTH = b"content-length: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one run: errors are answers but 200, resets and requests that were not answered in time."""

    requests: int
    errors: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float


def press(address: str, connections: int, under_way: int, seconds: float, least: int = 0) -> Outcome:
    """Run the child; what it measured."""
    arguments = [address, connections, under_way, seconds, least]
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.pressure", *map(str, arguments)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=seconds + 4 * _ANSWER_S,
    )
    return Outcome(**json.loads(ran.stdout))


class _Connection:
    __slots__ = ("began", "received", "socket")

    def __init__(self, address: tuple[str, int], number: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.bind((f"127.0.0.{2 + number // _CONNECTIONS_PER_SOURCE}", 0))
        self.socket.connect(address)
        self.began, self.received = 0.0, b""

    def answered(self) -> int:
        """Take in what has come; the answer's status once it is whole, else 0. Raises OSError when cut off."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionResetError
        if self.received:
            data = self.received + data
        head = data.find(b"\r\n\r\n")
        if head > 0:
            told = data.find(_LENGTH, 0, head) + len(_LENGTH)
            if len(data) >= head + 4 + int(data[told : data.find(b"\r", told)]):
                self.received = b""
                return int(data[9:12])
        self.received = data
        return 0


class _Run:
    """One run's connections and counts."""

    def __init__(self, address: tuple[str, int], connections: int) -> None:
        self._poll = select.epoll()
        self._idle = deque(_Connection(address, number) for number in range(connections))
        self._by_fd = {connection.socket.fileno(): connection for connection in self._idle}
        for fd in self._by_fd:
            self._poll.register(fd, select.EPOLLIN)
        self._busy = 0
        self._requests = _requests(address)
        self._sent = 0
        self._latencies: list[float] = []
        self._errors = 0
        self._counted_from = self._counted_until = 0.0

    def run(self, under_way: int, seconds: float, least: int) -> Outcome:
        """Keep so many requests under way until the time is over and ``least`` are answered; then let them end."""
        now = time.perf_counter()
        self._counted_from, end = now + _WARM_UP_S, now + _WARM_UP_S + seconds
        for _ in range(under_way):
            self._send()
        while self._busy:
            events = self._poll.poll(_ANSWER_S)
            now = time.perf_counter()
            if not events:
                break
            goes_on = now < end or len(self._latencies) < least
            if goes_on:
                self._counted_until = now
            for fd, _ in events:
                self._take(fd, now)
            while goes_on and self._busy < under_way and self._idle:
                self._send()
        self._errors += self._busy
        return Outcome(
            requests=len(self._latencies),
            errors=self._errors,
            requests_per_s=len(self._latencies) / (self._counted_until - self._counted_from),
            p50_ms=percentile(self._latencies, 0.5) * 1000,
            p99_ms=percentile(self._latencies, 0.99) * 1000,
        )

    def _send(self) -> None:
        connection = self._idle.popleft()
        connection.began = time.perf_counter()
        try:
            connection.socket.send(self._requests[self._sent % _PICKS])
        except OSError:
            self._drop(connection)
            return
        self._sent += 1
        self._busy += 1

    def _take(self, fd: int, now: float) -> None:
        connection = self._by_fd[fd]
        try:
            status = connection.answered()
        except (OSError, ValueError):
            self._busy -= 1
            self._drop(connection)
            return
        if not status:
            return
        self._busy -= 1
        self._idle.append(connection)
        took = time.perf_counter() - connection.began
        if status != 200 or took > _ANSWER_S:
            self._errors += 1
        elif self._counted_from <= now <= self._counted_until:
            self._latencies.append(took)

    def _drop(self, connection: _Connection) -> None:
        self._errors += 1
        self._poll.unregister(connection.socket.fileno())
        connection.socket.close()


def _requests(address: tuple[str, int]) -> list[bytes]:
    """Requests in an order that a seed gives, each product as often as it is popular."""
    choose = random.Random(1)
    host = f"{address[0]}:{address[1]}"
    picks = (BASE + int(PRODUCTS * choose.random() ** SKEW) for _ in range(_PICKS))
    return [f"GET /products/{id} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() for id in picks]


def main() -> None:
    """Run as told by the arguments."""
    address, connections, under_way, seconds, least = sys.argv[1:]
    host, _, port = address.rpartition(":")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    outcome = _Run((host, int(port)), int(connections)).run(int(under_way), float(seconds), int(least))
    sys.stdout.write(json.dumps(asdict(outcome)) + "\n")


if __name__ == "__main__":
    main()

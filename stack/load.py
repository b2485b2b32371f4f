"""Realistic, seeded load on the writer's HTTP commands, at a given rate, each answer checked.

What flows in: a writer's URL, a seed, a rate. What flows out: commands, and for each that succeeded a `Write` with the token
by which a reader can wait for it. `stack.activity` says what people do in the shop; this module says when, and counts.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from stack import activity, traffic
from stack.bearer import advice
from stack.shop import Shop
from stack.traffic import Answer

TIMEOUT_S = 10.0
UNAVAILABLE = 503
DEBT_S = 1.0  # a load that was held up sends at most this much of what it missed


class UnexpectedAnswer(Exception):
    """The writer answered with a status that the command does not allow; the message says which, never with what values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A command that succeeded."""

    kind: str  #: the command: a function of stack.traffic or stack.social, such as ``place_order``
    id: str  #: of what it changed: an order, a user, a product, a post
    token: str  #: ``Readside-Token`` of the answer
    at: float  #: ``time.monotonic()`` when the answer had come, in seconds; the commit was a little earlier


@dataclass(slots=True)
class Report:
    """What a load has done so far."""

    done: Counter[str] = field(default_factory=Counter[str])  #: successes by command
    refused: Counter[str] = field(default_factory=Counter[str])  #: allowed refusals by command and status
    unanswered: int = 0  #: sent, and the writer or its database went away before the answer
    seconds: float = 0.0  #: that `Load.run` took, all runs

    @property
    def requests(self) -> int:
        """All commands sent."""
        return self.done.total() + self.refused.total() + self.unanswered


class Pace:
    """Says when the next request is due; one schedule for all threads."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = 1 / rate
        self._clock = clock
        self._due = clock()
        self._lock = threading.Lock()

    def next(self) -> float:
        """Seconds to wait for one's own place in the schedule."""
        with self._lock:
            now = self._clock()
            self._due = max(self._due + self._interval_s, now - DEBT_S)
            return max(0.0, self._due - now)


class Load:
    """Customers and staff at work. `prepare` once, then `run`, any number of times.

    A status that a command does not allow ends the run with `UnexpectedAnswer`. A writer that cannot be reached does not:
    what it was asked is counted as unanswered and forgotten, since nobody knows whether it was done.
    """

    def __init__(
        self,
        writer_url: str,
        *,
        seed: int,
        rate: float,  # requests per second
        workers: int,
        headers: Mapping[str, str] | None = None,  # of every request
        on_write: Callable[[Write], None] | None = None,
    ) -> None:
        self._url = writer_url
        self._headers = headers
        self._seed = seed
        self._rate = rate
        self._workers = workers
        self._on_write = on_write
        self._shop = Shop()
        self._report = Report()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    @property
    def report(self) -> Report:
        """A copy of the counts so far; may be asked for while the load runs."""
        with self._lock:
            return Report(
                done=self._report.done.copy(),
                refused=self._report.refused.copy(),
                unanswered=self._report.unanswered,
                seconds=self._report.seconds,
            )

    def prepare(self, *, users: int = 100, products: int = 50) -> None:
        """Open the shop: sellers, categories, products with stock, and customers; as fast as the writer takes them."""
        with self._client() as http, ThreadPoolExecutor(self._workers) as threads:
            worker = self._worker(http, "prepare")
            traffic.open_shop(worker)
            adding = [
                threads.submit(traffic.offer_product, self._worker(http, f"product {n}")) for n in range(products)
            ]
            adding += [threads.submit(traffic.register_user, self._worker(http, f"user {n}")) for n in range(users)]
            for one in adding:
                one.result()

    def run(self, seconds: float) -> None:
        """Do for this long what people do in a shop; returns early when `stop` is called, raises what a worker raised."""
        self._stopped.clear()
        pace, begin = Pace(self._rate), time.monotonic()
        with ThreadPoolExecutor(self._workers) as threads:
            working = [threads.submit(self._work, n, pace, begin + seconds) for n in range(self._workers)]
        with self._lock:
            self._report.seconds += time.monotonic() - begin
        for one in working:
            one.result()

    def stop(self) -> None:
        """End the run that is going on, from another thread; each worker finishes the command in hand."""
        self._stopped.set()

    def _work(self, number: int, pace: Pace, end: float) -> None:
        try:
            with self._client() as http:
                worker = self._worker(http, f"worker {number}")
                while not self._stopped.wait(pace.next()) and time.monotonic() < end:
                    activity.act(worker)
        finally:
            self._stopped.set()  # also when it failed: the others need not go on

    def _client(self) -> httpx.Client:
        limits = httpx.Limits(max_connections=self._workers, max_keepalive_connections=self._workers)
        return httpx.Client(base_url=self._url, headers=self._headers, timeout=TIMEOUT_S, limits=limits)

    def _worker(self, http: httpx.Client, name: str) -> traffic.Worker:
        def send(kind: str, method: str, path: str, body: Mapping[str, Any] | None, allowed: frozenset[int]) -> Answer:
            return self._send(http, kind, method, path, body, allowed)

        return traffic.Worker(shop=self._shop, random=Random(f"{self._seed}/{name}"), send=send)

    def _send(
        self,
        http: httpx.Client,
        kind: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        allowed: frozenset[int],
    ) -> Answer:
        headers = {"Idempotency-Key": traffic.new_key()} if method == "POST" else {}
        try:
            response = http.request(method, path, json=body, headers=headers)
        except httpx.TransportError:
            response = None
        at = time.monotonic()
        if response is None or response.status_code == UNAVAILABLE:
            return self._count(unanswered=1)
        if response.is_success:
            answer: dict[str, Any] = response.json() if response.content else {}
            self._count(done=kind)
            if self._on_write is not None:
                id = str(answer.get("id") or path.split("/")[2])
                self._on_write(Write(kind=kind, id=id, token=response.headers["Readside-Token"], at=at))
            return answer
        if response.status_code not in allowed:
            problem = response.json().get("type", "")
            raise UnexpectedAnswer(
                f"{kind}: {method} {path} was answered {response.status_code} {problem}{advice(response.status_code)}"
            )
        return self._count(refused=f"{kind} {response.status_code}")

    def _count(self, *, done: str | None = None, refused: str | None = None, unanswered: int = 0) -> None:
        with self._lock:
            self._report.unanswered += unanswered
            if done is not None:
                self._report.done[done] += 1
            if refused is not None:
                self._report.refused[refused] += 1

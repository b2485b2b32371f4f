"""``bench freshness``: commit → readable by HTTP at 100 orders/s, beside commit → a bare kafka-python consumer.

Orders are placed at a fixed rate (open loop) by the writer's own transaction: first beside the bare consumer alone, then
with each order read over HTTP, with its token, by readers in a process of their own; and a last time placed over HTTP too,
which takes more of a small machine. All are measured from the same zero, the commit's time at the source, which
Debezium's records carry.
"""

from __future__ import annotations

import http.client
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

from benchmarks.result import Result
from config.settings import Settings
from stack import bearer
from stack.freshness import percentile
from stack.load import Load
from writer.orders import OrderPlacement, place
from writer.transaction import open_pool, transaction

_ORDERS_PER_S = 100.0
_SECONDS = 20.0
_FLOOR_SECONDS = 10.0
_WARM_UP_SECONDS = 10.0
_WRITERS = 3
_READERS = 16  # threads: a read may wait, and must not keep the next from being sent
GOALS = {"p50_ms": 15.0, "p99_ms": 60.0}


def run(settings: Settings) -> Result:
    """Measure on a running stack."""
    products, users = _prepare(settings)
    bodies = [_body(products, users, number) for number in range(997)]
    topic = f"{settings.topic_prefix}.public.orders"
    with _sql(settings) as by_sql:
        _place(by_sql, bodies, _WARM_UP_SECONDS)
        with _child("benchmarks.floor", settings.kafka, topic) as consumer:
            _tell(consumer, "start")
            _place(by_sql, bodies, _FLOOR_SECONDS)
            floors = [(seen - commit) / 1000 for _, commit, seen in _end(consumer)]
        placed, ends = _measure(settings, topic, by_sql, bodies)
    placed_by_http, ends_by_http = _measure(settings, topic, lambda: _OverHttp(settings), bodies)
    p50, p99 = percentile(ends, 0.5), percentile(ends, 0.99)
    return Result(
        name="freshness",
        figures={
            "orders_per_s": placed,
            "read": len(ends),
            "p50_ms": p50,
            "p90_ms": percentile(ends, 0.9),
            "p99_ms": p99,
            "floor_p50_ms": percentile(floors, 0.5),
            "floor_p90_ms": percentile(floors, 0.9),
            "floor_p99_ms": percentile(floors, 0.99),
            "p50_over_floor": p50 / percentile(floors, 0.5),
            "p99_over_floor": p99 / percentile(floors, 0.99),
            "http_writer_orders_per_s": placed_by_http,
            "http_writer_p50_ms": percentile(ends_by_http, 0.5),
            "http_writer_p99_ms": percentile(ends_by_http, 0.99),
        },
        goals={
            "p50_ms": (p50, GOALS["p50_ms"], p50 <= GOALS["p50_ms"]),
            "p99_ms": (p99, GOALS["p99_ms"], p99 <= GOALS["p99_ms"]),
        },
    )


def _measure(
    settings: Settings, topic: str, placer: Callable[[], Placer], bodies: list[str]
) -> tuple[float, list[float]]:
    """(orders per second, milliseconds from commit to readable of each)."""
    with (
        _child("benchmarks.floor", settings.kafka, topic) as consumer,
        _child("benchmarks.readers", settings.queries_address, str(_READERS)) as readers,
    ):
        began = time.monotonic()
        placed = _place(placer, bodies, _SECONDS, readers)
        seconds = time.monotonic() - began
        read = {id: read_us for id, read_us in _end(readers)}
        _tell(consumer, "start")  # only now: it shall tell the commits' times, and cost the run nothing
        ends = [(read[id] - commit) / 1000 for id, commit, _ in _end(consumer) if id in read]
    return placed / seconds, ends


class Placer(Protocol):
    """Places orders, from one thread."""

    def __call__(self, body: str) -> tuple[str, str]:
        """Place one; its id and token."""
        ...


class _OverHttp:
    def __init__(self, settings: Settings) -> None:
        self._headers = {"Content-Type": "application/json", **bearer.headers(settings)}
        self._connection = http.client.HTTPConnection(settings.writer_address, timeout=10)

    def __call__(self, body: str) -> tuple[str, str]:
        self._connection.request("POST", "/orders", body, self._headers)
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 201:
            raise RuntimeError(f"POST /orders was answered {response.status} {answer.get('type')}")
        return answer["id"], response.headers["Readside-Token"]


@contextmanager
def _sql(settings: Settings) -> Generator[Callable[[], Placer]]:
    assert settings.writer_dsn is not None
    pool = open_pool(settings.writer_dsn.get_secret_value(), _WRITERS)

    def order(body: str) -> tuple[str, str]:
        with transaction(pool) as tx:
            answer = place(tx.db, OrderPlacement.model_validate_json(body), settings.currency)
        assert answer.body is not None
        return answer.body["id"], tx.token

    try:
        yield lambda: order
    finally:
        pool.close()


def _body(products: list[str], users: list[str], number: int) -> str:
    return json.dumps(
        {
            "customer_id": users[number % len(users)],
            "items": [{"product_id": products[(number + line) % len(products)], "quantity": 1} for line in range(3)],
            "shipping_address": {"line1": "1 Bench Street", "city": "Ghent", "postal_code": "9000", "country": "BE"},
            "shipping_method": "standard",
            "payment_method": "card",
        }
    )


def _prepare(settings: Settings) -> tuple[list[str], list[str]]:
    products: list[str] = []
    users: list[str] = []

    def note(write: object) -> None:
        kind, id = getattr(write, "kind", ""), getattr(write, "id", "")
        if kind == "offer_product":
            products.append(id)
        if kind == "register_user":
            users.append(id)

    seed = time.time_ns()  # another run on the same database must not meet its own people again
    load = Load(
        f"http://{settings.writer_address}",
        seed=seed,
        rate=1000,
        workers=4,
        on_write=note,
        headers=bearer.headers(settings),
    )
    load.prepare(users=200, products=200)
    connection = http.client.HTTPConnection(settings.writer_address, timeout=10)
    for product in products:
        body = json.dumps({"delta": 100_000})
        json_headers = {"Content-Type": "application/json", **bearer.headers(settings)}
        connection.request("PATCH", f"/products/{product}/stock", body, json_headers)
        connection.getresponse().read()
    connection.close()
    return products, users


def _place(
    placer: Callable[[], Placer], bodies: list[str], seconds: float, readers: subprocess.Popen[str] | None = None
) -> int:
    """Place orders at the rate; the readers are told id and token of each. Returns how many were placed."""
    lock = threading.Lock()
    numbers = itertools.count()
    began = time.monotonic()

    def work() -> int:
        place_one = placer()
        for placed in itertools.count():
            with lock:
                number = next(numbers)
            due = began + number / _ORDERS_PER_S
            if due > began + seconds:
                return placed
            time.sleep(max(0.0, due - time.monotonic()))
            id, token = place_one(bodies[number % len(bodies)])
            if readers is not None:
                with lock:
                    _tell(readers, f"{id} {token}")
        raise AssertionError

    with ThreadPoolExecutor(_WRITERS) as threads:
        return sum(one.result() for one in [threads.submit(work) for _ in range(_WRITERS)])


@contextmanager
def _child(module: str, *arguments: str) -> Generator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()  # "ready"
        yield child
    finally:
        child.kill()
        child.wait()


def _tell(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()


def _end(child: subprocess.Popen[str]) -> list[tuple[int, ...]]:
    """Close the child's input; its lines of numbers."""
    output, _ = child.communicate(timeout=60)
    return [tuple(int(part) for part in line.split()) for line in output.splitlines()]

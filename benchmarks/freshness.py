"""``bench freshness``: commit → readable by HTTP at 100 orders/s, beside commit → a bare kafka-python consumer.

Orders are placed over HTTP at a fixed rate (open loop). Each is read over HTTP with its token by readers in a process of
their own. Both ends are measured from the same zero: the commit's time at the source, which Debezium's records carry.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from benchmarks.result import Result
from config.settings import Settings
from stack.freshness import percentile
from stack.load import Load

_ORDERS_PER_S = 100.0
_SECONDS = 20.0
_WARM_UP_SECONDS = 5.0
_WRITERS = 3
_READERS = 3
GOALS = {"p50_ms": 20.0, "p99_ms": 100.0}


def run(settings: Settings) -> Result:
    """Measure on a running stack."""
    products, users = _prepare(settings)
    bodies = [
        json.dumps(
            {
                "customer_id": users[number % len(users)],
                "items": [
                    {"product_id": products[(number + line) % len(products)], "quantity": 1} for line in range(3)
                ],
                "shipping_address": {
                    "line1": "1 Bench Street",
                    "city": "Ghent",
                    "postal_code": "9000",
                    "country": "BE",
                },
                "shipping_method": "standard",
                "payment_method": "card",
            }
        )
        for number in range(997)
    ]
    topic = f"{settings.topic_prefix}.public.orders"
    with (
        _child("benchmarks.floor", settings.kafka, topic) as floor,
        _child("benchmarks.readers", settings.queries_address, str(_READERS)) as readers,
    ):
        _place(settings, bodies, readers, _WARM_UP_SECONDS)
        began_us = time.time_ns() // 1000
        placed = _place(settings, bodies, readers, _SECONDS)
        seconds = (time.time_ns() // 1000 - began_us) / 1e6
        read = dict(_pairs(_end(readers)))
        commits = {id: (commit, seen) for id, commit, seen in _triples(_end(floor)) if commit >= began_us}
    ends = [(read[id] - commit) / 1000 for id, (commit, _) in commits.items() if id in read]
    floors = [(seen - commit) / 1000 for commit, seen in commits.values()]
    p50, p99 = percentile(ends, 0.5), percentile(ends, 0.99)
    return Result(
        name="freshness",
        figures={
            "orders_per_s": placed / seconds,
            "orders": placed,
            "read": len(ends),
            "p50_ms": p50,
            "p90_ms": percentile(ends, 0.9),
            "p99_ms": p99,
            "floor_p50_ms": percentile(floors, 0.5),
            "floor_p90_ms": percentile(floors, 0.9),
            "floor_p99_ms": percentile(floors, 0.99),
            "over_floor_p50_ms": p50 - percentile(floors, 0.5),
        },
        goals={
            "p50_ms": (p50, GOALS["p50_ms"], p50 <= GOALS["p50_ms"]),
            "p99_ms": (p99, GOALS["p99_ms"], p99 <= GOALS["p99_ms"]),
        },
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
    load = Load(f"http://{settings.writer_address}", seed=seed, rate=1000, workers=4, on_write=note)
    load.prepare(users=200, products=200)
    connection = http.client.HTTPConnection(settings.writer_address, timeout=10)
    for product in products:
        body = json.dumps({"delta": 100_000})
        connection.request("PATCH", f"/products/{product}/stock", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
    connection.close()
    return products, users


def _place(settings: Settings, bodies: list[str], readers: subprocess.Popen[str], seconds: float) -> int:
    """Place orders at the rate; the readers are told id and token of each. Returns how many were placed."""
    lock = threading.Lock()
    count = 0
    next_number = 0
    began = time.monotonic()

    def work() -> None:
        nonlocal count, next_number
        connection = http.client.HTTPConnection(settings.writer_address, timeout=10)
        while True:
            with lock:
                number, next_number = next_number, next_number + 1
            due = began + number / _ORDERS_PER_S
            if due > began + seconds:
                break
            time.sleep(max(0.0, due - time.monotonic()))
            connection.request("POST", "/orders", bodies[number % len(bodies)], {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
            if response.status != 201:
                raise RuntimeError(f"POST /orders was answered {response.status} {answer.get('type')}")
            with lock:
                count += 1
                assert readers.stdin is not None
                readers.stdin.write(f"{answer['id']} {response.headers['Readside-Token']}\n")
                readers.stdin.flush()
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(_WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count


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


def _end(child: subprocess.Popen[str]) -> list[list[int]]:
    output, _ = child.communicate(timeout=60)
    return [[int(part) for part in line.split()] for line in output.splitlines() if line != "ready"]


def _pairs(rows: list[list[int]]) -> list[tuple[int, int]]:
    return [(row[0], row[1]) for row in rows]


def _triples(rows: list[list[int]]) -> list[tuple[int, int, int]]:
    return [(row[0], row[1], row[2]) for row in rows]

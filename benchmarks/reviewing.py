"""Reviews that come in while pages are read: at a rate, and one at a time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Event, Thread

import httpx

from benchmarks.catalogue import BASE, PRODUCTS, USERS
from config.settings import Settings
from writer.transaction import Pool, open_pool, transaction

_REVIEW = """
    insert into reviews (product_id, user_id, rating, body)
    values (%(product)s, %(user)s, %(rating)s, 'As good as they say, and then some')
        on conflict do nothing
"""
_PATIENCE_S = 30


@contextmanager
def coming_in(settings: Settings, per_s: float) -> Generator[Callable[[], int]]:
    """Reviews of any product are committed, each by itself, while the block runs; how many were."""
    over, began, written = Event(), time.monotonic(), [0]

    def write() -> None:
        with _writer(settings) as pool:
            while not over.wait(max(0.0, began + written[0] / per_s - time.monotonic())):
                _write(pool)
                written[0] += 1

    thread = Thread(target=write)
    thread.start()
    try:
        yield lambda: written[0]
    finally:
        over.set()
        thread.join()


def readable_ms(settings: Settings, reviews: int) -> list[float]:
    """Milliseconds from each commit until the product's page shows it, with nothing else going on."""
    took: list[float] = []
    with (
        _writer(settings) as pool,
        httpx.Client(base_url=f"http://{settings.queries_address}", trust_env=False) as http,
    ):
        for _ in range(reviews):
            product, token = _write(pool)
            began = time.perf_counter()
            headers = {"Readside-Token": token, "Prefer": f"wait={_PATIENCE_S}"}
            http.get(f"/products/{product}", headers=headers, timeout=2 * _PATIENCE_S).raise_for_status()
            took.append((time.perf_counter() - began) * 1000)
    return took


@contextmanager
def _writer(settings: Settings) -> Generator[Pool]:
    assert settings.writer_dsn is not None
    pool = open_pool(settings.writer_dsn.get_secret_value(), 1)
    try:
        yield pool
    finally:
        pool.close()


def _write(pool: Pool) -> tuple[int, str]:
    """Commit one review; the product's id and the write's token."""
    product, user = BASE + random.randrange(PRODUCTS), BASE + random.randrange(USERS)
    with transaction(pool) as tx:
        tx.db.execute(_REVIEW, {"product": product, "user": user, "rating": random.randint(1, 5)})
    return product, tx.token

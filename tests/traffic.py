"""The load of an acceptance test: traffic on the writer while something else is done to the stack."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

from stack.load import Load
from tests.backends import Stack


@contextmanager
def under_load(stack: Stack, *, seed: int, rate: float, users: int, products: int) -> Generator[Load]:
    """Traffic while the block runs; what went wrong with it is raised at its end."""
    failed: list[BaseException] = []
    traffic = Load(f"http://{stack.settings.writer_address}", seed=seed, rate=rate, workers=3)
    traffic.prepare(users=users, products=products)

    def work() -> None:
        try:
            traffic.run(600)
        except BaseException as exc:
            failed.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield traffic
    finally:
        traffic.stop()
        thread.join()
    assert not failed, failed

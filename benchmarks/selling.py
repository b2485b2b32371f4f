"""An analytics projector's store with many order lines, in a process of its own, which its parent asks while it is written.

``python -m benchmarks.selling DIRECTORY LINES`` (settings from the environment) fills the store, measures batches of 10,000
changes and prints what it found as a line of JSON. From there on it applies 1,000 changes at the projector's interval,
answers at the endpoint and publishes copies, until its standard input ends; then it prints a second line: when each batch
began (time.time()) and how long it took, and the file's size beside that of a fresh, compact copy.
"""

from __future__ import annotations

import json
import os
import select
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.large_transaction import Memory
from benchmarks.sales import LINES_PER_ORDER, Sales
from cdc.assembler import Transaction
from config.settings import Settings
from projectors import registry
from projectors.analytics.confined import Limits
from projectors.analytics.publishing import Publisher
from projectors.analytics.server import serving
from projectors.analytics.store import AnalyticsStore
from projectors.run import captured_shapes, captured_tables, settle

_CHANGES, _BATCHES, _WARM_UP = 10_000, 9, 3
_CHANGES_PER_COMMIT = 1_000
_MEMORY = "512MiB"  # more than the default: batches of changes all over ten million lines do not fit in that


def main() -> None:
    """Do it."""
    directory, lines = Path(sys.argv[1]), int(sys.argv[2])
    settings = Settings()
    settle()
    tables = captured_tables(settings)
    live = directory / "live.duckdb"
    publisher = Publisher(live, directory / "analytics.duckdb", settings.analytics_copy_interval_s)
    publishing = False
    pauses: list[float] = []

    def committed(checkpoint: Any, revision: int) -> None:
        if publishing:
            began = time.perf_counter()
            publisher.committed(checkpoint, revision)
            pauses.append(time.perf_counter() - began)

    store = AnalyticsStore(
        live,
        tables,
        registry.load(settings.models).of_store("analytics"),
        memory_limit=_MEMORY,
        limits=Limits.of(settings),
        shapes=captured_shapes(settings, tables),
        committed=committed,
        unpublished=publisher.unpublished,
    )
    with closing(publisher), serving(settings, store), closing(store):
        memory = Memory(os.getpid())
        store.open()
        sales = Sales(store, lines // LINES_PER_ORDER)
        began = time.monotonic()
        sales.fill()
        figures: dict[str, float] = {"fill_s": time.monotonic() - began}
        figures["recent_batch_ms"] = _batch_ms(sales, sales.recent)
        figures["uniform_batch_ms"] = _batch_ms(sales, sales.uniform)
        memory.look()
        figures["memory_above_idle_mb"] = memory.above_mb
        publishing = True
        _say(figures)
        batches: list[tuple[float, float]] = []
        while not _ended(settings.analytics_interval_s):
            transactions = sales.recent(_CHANGES_PER_COMMIT)
            at, began = time.time(), time.perf_counter()
            sales.apply(transactions)
            batches.append((at, time.perf_counter() - began))
    _say({"batches": batches, "longest_copy_pause_ms": max(pauses) * 1_000, **_sizes(live)})


def _batch_ms(sales: Sales, make: Callable[[int], Sequence[Transaction]]) -> float:
    taken: list[float] = []
    for _ in range(_WARM_UP + _BATCHES):
        transactions = make(_CHANGES)
        began = time.perf_counter()
        sales.apply(transactions)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[_WARM_UP:]) * 1_000


def _sizes(live: Path) -> dict[str, float]:
    compact = live.with_name("compact.duckdb")
    with duckdb.connect(live) as store:
        store.execute(f"attach '{compact}' as compact")
        store.execute("copy from database live to compact")
        store.execute("detach compact")
    return {"file_mb": live.stat().st_size / 1e6, "compact_mb": compact.stat().st_size / 1e6}


def _ended(wait_s: float) -> bool:
    return bool(select.select([sys.stdin], [], [], wait_s)[0])


def _say(said: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

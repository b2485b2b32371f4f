"""A rebuild of the analytics store's tables: wrong rows are gone, and what changed is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from projectors.analytics.rebuild import Recomputed
from projectors.analytics.store import AnalyticsStore
from projectors.read_models import DECLARATIONS
from tests.shop import Shop


@pytest.fixture
def shop(shop_database: str, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(shop_database, tmp_path, DECLARATIONS.of_store("analytics"))
    with made.committing():
        for number in range(1, 5):
            made.put(number, 1, "paid", "10.00", f"2026-03-0{number}T10:00:00Z", (1, 1, "10.00"))
    yield made
    made.close()


def rebuilt(store: AnalyticsStore, *names: str) -> dict[str, Any]:
    """The projector waits for records meanwhile, so this thread may do its work."""
    assert store.rebuilds.ask(names) is not None
    assert store.rebuilds.ask(names) is None  # one at a time
    assert store.attend()
    latest = store.rebuilds.latest
    assert latest is not None and latest.state == "done", latest
    return dict(latest.tables)


def revenue(store: AnalyticsStore) -> list[Any]:
    with closing(store.cursor()) as cursor:
        return cursor.execute("select revenue from daily_orders order by day").fetchall()


def test_wrong_rows_are_gone_and_what_changed_is_told(shop: Shop) -> None:
    right = revenue(shop.store)
    with closing(shop.store.cursor()) as cursor:
        cursor.execute("update daily_orders set revenue = 1 where day = '2026-03-02'")
        cursor.execute("delete from daily_orders where day = '2026-03-03'")
    assert revenue(shop.store) != right
    assert rebuilt(shop.store, "daily_orders") == {"daily_orders": Recomputed(rows=4, added=2, removed=1)}
    assert revenue(shop.store) == right


def test_what_reads_it_is_computed_too_and_changes_go_on(shop: Shop) -> None:
    found = rebuilt(shop.store, "orders_by_day")
    assert {"orders_by_day", "daily_orders"} <= found.keys()
    assert all((of.added, of.removed) == (0, 0) for of in found.values())
    with shop.committing():
        shop.put(5, 2, "paid", "7.00", "2026-03-01T12:00:00Z", (2, 1, "7.00"))
    assert revenue(shop.store)[0] == (17,)

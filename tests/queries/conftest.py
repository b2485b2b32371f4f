"""A serving store with the tables the projector makes, the query server on it, and an analytics store that it asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config.settings import Settings
from projectors.analytics import server
from projectors.read_models import DECLARATIONS
from tests.queries.harness import SCHEMA, Api, Projector, alone, serving
from tests.shop import Shop


@pytest.fixture
def projector(store_database: str) -> Iterator[Projector]:
    """A serving store with the projector's tables, empty, streaming and standing at 0/100."""
    with psycopg.connect(store_database, autocommit=True) as conn:
        conn.execute(SCHEMA)
        yield Projector(conn=conn)


@pytest.fixture
def settings(store_database: str, tmp_path: Path) -> Settings:
    """Settings of a query server on the test's store; nothing else of the stack is there."""
    return alone(store_database, tmp_path, token_wait_s=5.0, token_waiters=4, currency="EUR")


@pytest.fixture
def api(projector: Projector, settings: Settings) -> Iterator[Api]:
    """The query server on the test's store."""
    with serving(settings) as running:
        yield running


@pytest.fixture
def shop(settings: Settings, shop_database: str, tmp_path: Path) -> Iterator[Shop]:
    """No orders yet; its store is behind the endpoint."""
    made = Shop(shop_database, tmp_path, DECLARATIONS.of_store("analytics"))
    with server.serving(settings, made.store):
        yield made
    made.close()


@pytest.fixture
def orders(shop: Shop) -> Shop:
    """Four orders of three customers, two of whom have risen since."""
    with shop.committing():
        shop.put(1, 1, "paid", "10.01", "2026-01-01T23:30:00Z", (7, 2, "5.00"))
        shop.put(2, 1, "cancelled", "99.00", "2026-01-02T00:00:00Z", (8, 2, "49.50"))
        shop.put(3, 3, "pending", "10.02", "2026-01-02T01:00:00Z", (7, 2, "5.00"), (10, 1, "20.00"))
        shop.put(4, 2, "delivered", "500.00", "2026-01-03T00:00:00Z", (9, 1, "500.00"))
    with shop.committing():
        shop.source.execute("update users set loyalty_tier = 'gold' where id in (1, 2)")
        shop.source.execute("update products set name = 'New name' where id = 7")
    return shop

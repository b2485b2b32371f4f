"""A small analytics store behind the real endpoint and the real query server, without the rest of the stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import psycopg
import pytest

from config.settings import Settings
from projectors.analytics.server import serving as analytics_endpoint
from projectors.analytics.store import AnalyticsStore
from projectors.read_model import Declarations
from tests.queries.harness import SCHEMA, alone, serving

TABLES = """
    create table orders (id bigint, number varchar, customer_name varchar, status varchar, total decimal(12, 2),
        placed_at timestamptz, note varchar);
    comment on table orders is 'One row per order.';
    comment on column orders.total is 'With tax and shipping.';
    insert into orders values
        (1, 'A-1', 'Ada Lovelace', 'paid', 10.10, '2026-01-01T23:30:00Z', ''),
        (2, 'A-2', 'Grace Hopper', 'cancelled', 1099.00, '2026-01-02T00:00:00.5Z', null),
        (12, 'A-12', e'Mallory\\x1b[2J', 'paid', 0.05, '2026-01-02T01:00:00Z', 'two' || chr(10) || 'lines');
    create table "Order Lines" (order_id bigint, sku varchar);
    create view daily as select placed_at::date as day, sum(total) as revenue from orders group by day;
    comment on view daily is 'Revenue per day.';
    delete from readside.checkpoint;
    insert into readside.checkpoint values ('streaming', '0/100', epoch_us(now()), 0, 0, '{"frontier": {}}');
"""


@pytest.fixture
def settings(store_database: str, tmp_path: Path) -> Settings:
    """Settings of a query server and an analytics endpoint; nothing else of the stack is there."""
    return alone(store_database, tmp_path, sql_rows=1000, sql_timeout_s=3.0)


@pytest.fixture
def server(store_database: str, settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """The store's tables, asked at ``queries_address``; its settings."""
    with psycopg.connect(store_database, autocommit=True) as conn:
        conn.execute(SCHEMA)
    path = tmp_path / "live.duckdb"
    made, store = (AnalyticsStore(path, (), Declarations(), memory_limit="1GB", shapes={}) for _ in range(2))
    made.open()
    made.close()
    with duckdb.connect(path) as database:
        database.execute(TABLES)
    store.open()  # stands where the tables say
    try:
        with analytics_endpoint(settings, store), serving(settings):
            yield settings
    finally:
        store.close()

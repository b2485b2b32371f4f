"""Tables of two schemas share a name: what ails one of them is not said of what reads the other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from cdc.catalog import read_tables
from cdc.shapes import read_shapes
from projectors.analytics.store import AnalyticsStore
from projectors.read_model import Declarations
from projectors.rollup import Rollup

TABLES = """
    drop publication readside;
    create schema stored;
    create table public.things (id int primary key, kind text);
    create table stored.things (id int primary key, kind text);
    create publication readside for table public.things, stored.things;
"""
QUERY = "select kind, count(*) as things from changed group by kind"
THINGS = Rollup(store="analytics", name="kinds", comment="Kinds.", of="things", key=("kind",), query=QUERY)
STORED = Rollup(
    store="analytics", name="stored_kinds", comment="Kinds.", of="stored.things", key=("kind",), query=QUERY
)


@pytest.fixture
def opened(shop_database: str, tmp_path: Path) -> Callable[..., AnalyticsStore]:
    """A store of both, after the source has done something."""

    def opened(statement: str) -> AnalyticsStore:
        with psycopg.connect(shop_database, autocommit=True) as source:
            source.execute(statement)  # pyright: ignore[reportArgumentType, reportCallIssue]
        store = AnalyticsStore(
            tmp_path / "live.duckdb",
            read_tables(shop_database, "readside"),
            Declarations(rollups=(THINGS, STORED)),
            memory_limit="100MB",
            shapes=read_shapes(shop_database, "readside"),
            parks=lambda table: table == "stored.things",
        )
        store.open()
        return store

    return opened


def test_a_parked_table(opened: Callable[..., AnalyticsStore]) -> None:
    opened(TABLES).close()
    with closing(opened("alter table stored.things add column size int")) as store:
        assert list(store.incomplete) == ["stored_kinds"]


def test_dead_letters(opened: Callable[..., AnalyticsStore]) -> None:
    with closing(opened(TABLES)) as store:
        store._kept.count_letters({"stored.things": 2, "public.things": 1})
        assert store.incomplete == {"kinds": "1 dead letters", "stored_kinds": "2 dead letters"}

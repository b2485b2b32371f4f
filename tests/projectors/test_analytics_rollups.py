"""Rollups in DuckDB are moved by what changes, refused where they would not be exact, and made anew when declared anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from cdc.errors import Fatal
from projectors.analytics.store import AnalyticsStore
from projectors.parking import without
from projectors.read_model import Declarations
from projectors.read_models import DECLARATIONS
from projectors.rollup import Rollup
from tests.operations import SEED

RATINGS = Rollup(
    store="analytics",
    name="ratings",
    comment="One row per product with reviews.",
    of="reviews",
    key=("product_id",),
    query="select product_id, count(*) as reviews, sum(rating) as stars from changed group by product_id",
)
SHOP = (
    """insert into users (id, email, first_name, last_name, display_name)
       select n, n || '@e.com', 'A', 'B', 'c' from generate_series(1, 9) n""",
    "insert into sellers (id, name) values (1, 'Mill')",
    "insert into categories (id, name) values (1, 'Tools')",
    """insert into products (id, seller_id, category_id, sku, name, price, currency)
       select n, 1, 1, n, 'P', 1, 'USD' from generate_series(1, 2) n""",
    """insert into reviews (product_id, user_id, rating, body)
       select 1, n, 4, 'long enough' from generate_series(1, 5) n""",
)


@pytest.fixture
def project(analytics: Any, tmp_path: Path) -> Any:
    """Reads what is in the log with these rollups; gives the rows of the first."""

    def project(*rollups: Rollup) -> list[Any]:
        def make(tables: Any, shapes: Any) -> AnalyticsStore:
            declared = Declarations(rollups=rollups)
            return AnalyticsStore(tmp_path / "live.duckdb", tables, declared, memory_limit="1GB", shapes=shapes)

        analytics._make_store = make
        analytics.project_until_done()
        with duckdb.connect(tmp_path / "live.duckdb", read_only=True) as store:
            return store.execute(f"select * from rollups.{rollups[0].name} order by all").fetchall()

    analytics.commit(*SHOP)
    return project


def test_they_follow_the_changes(analytics: Any, project: Any) -> None:
    assert project(RATINGS) == [(1, 5, 20)]
    analytics.commit(
        "update reviews set rating = 1 where user_id = 1",
        "update reviews set product_id = 2 where user_id = 2",
        "delete from reviews where user_id = 3",
    )
    assert project(RATINGS) == [(1, 3, 9), (2, 1, 4)]
    analytics.commit("truncate reviews")
    assert project(RATINGS) == []


def test_one_that_is_declared_anew_is_counted_anew(project: Any) -> None:
    assert project(RATINGS) == [(1, 5, 20)]
    good = replace(RATINGS, query=RATINGS.query.replace("from changed", "from changed where user_id > 2"))
    assert project(good) == [(1, 3, 12)]


def test_a_rollup_of_a_rollup_takes_in_its_changes(analytics: Any, project: Any) -> None:
    all_of_them = Rollup(
        store="analytics",
        name="all_ratings",
        comment="One row.",
        of="rollups.ratings",
        key=("everything",),
        query="""
            select true as everything, count(*) as products, sum(reviews)::bigint as reviews from changed group by everything
        """,
    )
    assert project(all_of_them, RATINGS) == [(True, 1, 5)]
    analytics.commit("update reviews set product_id = 2 where user_id in (2, 3)")
    assert project(all_of_them, RATINGS) == [(True, 2, 5)]


def test_a_float_is_refused(project: Any) -> None:
    with pytest.raises(Fatal, match="measure stars is DOUBLE"):
        project(replace(RATINGS, query=RATINGS.query.replace("sum(rating)", "sum(rating / 2)")))


def test_what_changes_costs_no_look_at_the_rest(analytics: Any, project: Any, tmp_path: Path) -> None:
    """The mirror may say what it wants: a group is its old sum and what changed."""
    project(RATINGS)
    with duckdb.connect(tmp_path / "live.duckdb") as store:
        store.execute("update rollups.ratings set reviews = 1_000_000")
    analytics.commit("insert into reviews (product_id, user_id, rating, body) values (1, 6, 5, 'long enough')")
    assert project(RATINGS) == [(1, 1_000_001, 25)]


HISTORY = "order_status_changes"


@pytest.fixture
def project_all_but(analytics: Any, tmp_path: Path) -> Any:
    """Reads what is in the log with all that is declared but some; runs a statement on the store."""

    def project(*names: str, then: str = "select 1") -> list[Any]:
        def make(tables: Any, shapes: Any) -> AnalyticsStore:
            declared = without(DECLARATIONS.of_store("analytics"), names)
            return AnalyticsStore(tmp_path / "live.duckdb", tables, declared, memory_limit="1GB", shapes=shapes)

        analytics._make_store = make
        analytics.project_until_done()
        with duckdb.connect(tmp_path / "live.duckdb") as store:
            return store.execute(then).fetchall()

    analytics.commit(SEED)
    return project


TABLES = "select table_name from duckdb_tables() where schema_name in ('main', 'rollups')"
DAYS = "select day::varchar, orders from daily_orders where day = '2020-02-03'"
MOVED = "update orders set placed_at = '2020-02-03T04:05:06Z' where id = (select min(id) from orders)"


def test_what_is_declared_no_more_is_dropped_and_never_comes_back_stale(analytics: Any, project_all_but: Any) -> None:
    assert project_all_but(then=DAYS) == []
    left = project_all_but("daily_orders", "orders_by_day", then=TABLES)
    assert ("orders",) in left and not {("daily_orders",), ("orders_by_day",)} & set(left)
    analytics.commit(MOVED)
    project_all_but("daily_orders", "orders_by_day")
    assert project_all_but(then=DAYS) == [("2020-02-03", 1)]


def test_a_history_that_is_declared_no_more_stays(project_all_but: Any) -> None:
    how_many = f"select count(*) from {HISTORY}"
    told = project_all_but(then=how_many)
    assert told != [(0,)]
    assert project_all_but(HISTORY, then=how_many) == told


def test_what_an_earlier_release_noted_is_told_apart(analytics: Any, project_all_but: Any) -> None:
    project_all_but(then="alter table readside.declared drop column kind")
    left = project_all_but("daily_orders", "orders_by_day", HISTORY, then=TABLES)
    assert ("orders_by_day",) not in left
    assert {("daily_orders",), (HISTORY,)} <= set(left), "whether it is a history nobody can tell"
    analytics.commit(MOVED)
    project_all_but("daily_orders", "orders_by_day", HISTORY)
    assert project_all_but(then=DAYS) == [("2020-02-03", 1)], "its rows were not taken for the model's"

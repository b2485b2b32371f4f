"""Rollups, and the read models made of them, equal plain SQL on the source: whatever happens to the rows."""

from __future__ import annotations

import random

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projectors.serving.store import ServingStore
from tests.projectors import ratings
from tests.projectors.conftest import Pipeline
from tests.projectors.test_laws import (
    assert_mirror_equals_source,
    assert_models_equal_a_build,
    deliver,
    random_choice,
)

#: Statements by kind; a, b and c are small numbers.
OPERATIONS = {
    "rate": """insert into ratings values ({a}, {b}, {c} + 1, {c} + 0.75, 'k{b}', {c}, repeat('x', 300))""",
    "rate for free": "insert into ratings values ({a}, {b}, {c}, null, 'k{c}', {b}, 'x')",
    "rate without kind": "insert into ratings values ({a}, {b}, {c}, 2.125, null, {b}, 'x')",
    "rate again": "update ratings set stars = {c}, amount = amount - {c} where item_id = {a} and author = {b}",
    "rate another item": "update ratings set item_id = {b} where item_id = {a} and author = {c}",
    "another kind": "update ratings set kind = nullif('k{b}', 'k3') where item_id = {a}",
    "another author": "update ratings set author = author + 10 where item_id = {a}",
    "not a number": "update ratings set amount = 'NaN' where item_id = {a} and author = {b}",
    "infinite": "update ratings set amount = (case {c} when 1 then '-' else '' end || 'Infinity')::numeric where author = {b}",
    "finite": "update ratings set amount = {c} + 0.25 where item_id = {a}",
    "withdraw": "delete from ratings where item_id = {a} and author = {b}",
    "withdraw all": "delete from ratings where item_id = {a}",
    "offer": "insert into items values ({a}, {b}, 'i{c}')",
    "move": "update items set shop_id = nullif({b}, 4) where id = {a}",
    "rename": "update items set name = 'n{b}' where id = {a}",
    "renumber": "update items set id = {b} + 3 where id = {a}",
    "take away": "delete from items where id = {a}",
    "open": "insert into shops values ({a}, 'r{b}')",
    "close": "delete from shops where id = {a}",
    "truncate ratings": "truncate ratings",
    "truncate all": "truncate ratings, items",
}

number = st.integers(1, 4)
step = st.tuples(st.sampled_from(sorted(OPERATIONS)), number, number, number)
histories = st.lists(st.lists(step, min_size=1, max_size=6), min_size=1, max_size=10)


@pytest.fixture
def pipeline(shop_database, store_database, tmp_path):
    """The tests' own tables into the serving store."""
    with psycopg.connect(shop_database, autocommit=True) as source:
        source.execute(ratings.TABLES)
    made = Pipeline(
        shop_database,
        tmp_path,
        lambda tables, models: ServingStore(store_database, tables, models.of_store("serving")),
        models="tests.projectors.ratings",
    )
    made.commit("insert into shops values (1, 'north'), (2, 'south')")
    made.commit("insert into items values (1, 1, 'saw'), (2, 1, 'axe'), (3, 2, 'awl')")
    yield made
    made.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, seed=st.integers(0, 2**32))
def test_rollups_obey_the_laws(pipeline, store_database, history, seed):
    chance = random.Random(seed)
    pipeline.commit("truncate shops, items, ratings")
    pipeline.commit(*(sql("open", a, a, a) for a in (1, 2)), *(sql("offer", a, a % 2 + 1, a) for a in (1, 2, 3)))
    pipeline.commit(*(sql("rate", a, b, a) for a in (1, 2) for b in (1, 2, 3)))
    for transaction in history:
        commit_what_is_legal(pipeline, transaction)
        deliver(pipeline, chance)
        if chance.random() < 0.3:
            pipeline.project(random_choice(chance)).close()
    pipeline.project(random_choice(chance)).close()
    assert_mirror_equals_source(pipeline, store_database)
    assert_models_equal_a_build(pipeline, store_database)
    assert_as_expected(pipeline, store_database)


def test_a_change_reaches_everything_made_of_it(pipeline, rows):
    pipeline.commit(rated(1, 1, 5), rated(1, 2, 1), rated(3, 1, 4))
    pipeline.project().close()
    assert rows("rollups.item_ratings") == [(1, 2, 6, 1, 1), (3, 1, 4, 0, 0)]
    assert rows("read_models.item_page where id = 1", "average, histogram, latest") == [(3, {"5": 1, "1": 1}, [2, 1])]
    assert rows("read_models.shop_page") == [(1, "north", 2, 3), (2, "south", 1, 4)]
    assert rows("rollups.rated_often") == [(1, 1, 4), (2, 1, 6)]


def test_reputation_follows_an_item_to_another_shop(pipeline, rows):
    pipeline.commit(rated(1, 1, 5), rated(2, 1, 3))
    pipeline.project().close()
    assert rows("read_models.shop_page", "id, ratings, reputation") == [(1, 2, 4), (2, 0, None)]
    pipeline.commit("update items set shop_id = 2 where id = 1")
    pipeline.project().close()
    assert rows("read_models.shop_page", "id, ratings, reputation") == [(1, 1, 3), (2, 1, 5)]


def test_a_group_that_becomes_empty_is_gone(pipeline, rows):
    pipeline.commit(rated(1, 1, 5))
    pipeline.project().close()
    pipeline.commit("delete from ratings")
    pipeline.project().close()
    for name in ("item_ratings", "kind_amounts", "rated_often", "shop_scores"):
        assert rows(f"rollups.{name}") == [], name
    assert rows("read_models.item_page where id = 1", "average, histogram") == [(None, {"5": 0, "1": 0})]


def test_a_row_changed_many_times_in_one_batch_counts_once(pipeline, rows):
    pipeline.commit(rated(1, 1, 5))
    pipeline.project().close()
    pipeline.commit(
        *(f"update ratings set stars = {stars}, item_id = {item}" for stars, item in ((1, 2), (3, 1), (2, 2)))
    )
    pipeline.commit("truncate ratings", rated(1, 1, 1))
    pipeline.commit("update ratings set stars = 4", "delete from ratings", rated(2, 9, 2))
    pipeline.commit("update ratings set stars = 3")
    pipeline.project().close()
    assert rows("rollups.item_ratings") == [(2, 1, 3, 0, 0)]


def test_nulls_count_nothing_and_rows_without_a_group_are_in_none(pipeline, rows):
    pipeline.commit(rated(1, 1, 5, amount="null"), rated(1, 2, 5, amount="1.50"), rated(1, 3, 5, kind="null"))
    pipeline.project().close()
    assert rows("rollups.kind_amounts", "item_id, kind, paid, amount::text") == [(1, "k", 1, "1.5")]


def test_a_sum_survives_what_is_not_a_number(pipeline, rows):
    pipeline.commit(rated(1, 1, 5, amount="1.25"), rated(1, 2, 5, amount="'NaN'"), rated(2, 1, 5, amount="'Infinity'"))
    pipeline.project().close()
    assert rows("rollups.kind_amounts", "item_id, amount::text") == [(1, "NaN"), (2, "Infinity")]
    pipeline.commit("update ratings set amount = amount + 1 where author = 1")
    pipeline.commit("update ratings set amount = 2 where amount >= 'Infinity'")
    pipeline.project().close()
    assert rows("rollups.kind_amounts", "item_id, amount::text") == [(1, "4.25"), (2, "2")]


def test_a_crash_after_the_rollups_leaves_them_as_they_were(pipeline, rows, store_database):
    pipeline.commit(rated(1, 1, 5))
    pipeline.project().close()

    class Dying(ServingStore):
        def _move(self, checkpoint, transactions=()):
            raise RuntimeError("killed")

    pipeline.commit(rated(1, 2, 1), "update items set shop_id = 2 where id = 1")
    living = pipeline._make_store
    pipeline._make_store = lambda: Dying(store_database, pipeline.tables, ratings.DECLARATIONS)
    with pytest.raises(RuntimeError):
        pipeline.project()
    assert rows("rollups.shop_scores") == [(1, 1, 5)]
    pipeline._make_store = living
    pipeline.project().close()
    assert rows("rollups.shop_scores") == [(2, 2, 6)]


def commit_what_is_legal(pipeline, transaction) -> None:
    with pipeline.source.connection.transaction():
        for kind, a, b, c in transaction:
            try:
                with pipeline.source.connection.transaction():
                    pipeline.sql(sql(kind, a, b, c))
            except psycopg.errors.IntegrityError:
                continue


def sql(kind: str, a: int, b: int, c: int) -> str:
    return OPERATIONS[kind].format(a=a, b=b, c=c)


def rated(item: int, author: int, stars: int, *, amount: str = "1", kind: str = "'k'") -> str:
    return f"insert into ratings values ({item}, {author}, {stars}, {amount}, {kind}, {author}, 'fine')"


def assert_as_expected(pipeline, store_dsn: str) -> None:
    with psycopg.connect(store_dsn) as store:
        for name, query in ratings.EXPECTED.items():
            names = [column.name for column in pipeline.sql(query).description]
            expected = pipeline.sql(query).fetchall()
            kept = store.execute(f"select * from {name}").fetchall()
            assert sorted(map(repr, plain(kept))) == sorted(map(repr, plain(expected))), (name, names)


def plain(rows):
    """Numbers by value: 2.50 is 2.5, and NaN is itself."""
    return [tuple(str(float(v)) if hasattr(v, "as_tuple") or isinstance(v, int) else v for v in row) for row in rows]


@pytest.fixture
def rows(store_rows):
    """The rows of a table, or some columns of them, in order."""
    return lambda table, columns="*": store_rows(f"select {columns} from {table} order by 1")

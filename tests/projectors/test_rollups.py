"""Rollups, and the read models made of them, equal plain SQL on the source: whatever happens to the rows."""

from __future__ import annotations

import random

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projectors.serving.store import ServingStore
from tests.laws import (
    assert_mirror_equals_source,
    assert_models_equal_a_build,
    deliver,
    random_choice,
)
from tests.projectors import ratings
from tests.projectors.ratings import assert_as_expected, rated

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
    "infinite": "update ratings set amount = 'Infinity' where author = {b}",
    "less than all": "update ratings set amount = '-Infinity' where author = {b} and item_id = {a}",
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


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, seed=st.integers(0, 2**32))
def test_rollups_obey_the_laws(rating_pipeline, store_database, history, seed):
    chance = random.Random(seed)
    rating_pipeline.commit("truncate shops, items, ratings")
    rating_pipeline.commit(*(sql("open", a, a, a) for a in (1, 2)), *(sql("offer", a, a % 2 + 1, a) for a in (1, 2, 3)))
    rating_pipeline.commit(*(sql("rate", a, b, a) for a in (1, 2) for b in (1, 2, 3)))
    for transaction in history:
        commit_what_is_legal(rating_pipeline, transaction)
        deliver(rating_pipeline, chance)
        if chance.random() < 0.3:
            rating_pipeline.project(random_choice(chance)).close()
    rating_pipeline.project(random_choice(chance)).close()
    assert_mirror_equals_source(rating_pipeline, store_database)
    assert_models_equal_a_build(rating_pipeline, store_database)
    assert_as_expected(rating_pipeline, store_database)


def test_a_change_reaches_everything_made_of_it(rating_pipeline, rows):
    rating_pipeline.commit(rated(1, 1, 5), rated(1, 2, 1), rated(3, 1, 4))
    rating_pipeline.project().close()
    assert rows("rollups.item_ratings") == [(1, 2, 6, 1, 1), (3, 1, 4, 0, 0)]
    assert rows("read_models.item_page where id = 1", "average, histogram, latest") == [(3, {"5": 1, "1": 1}, [2, 1])]
    assert rows("read_models.shop_page") == [(1, "north", 2, 3), (2, "south", 1, 4)]
    assert rows("rollups.rated_often") == [(1, 1, 4), (2, 1, 6)]


def test_reputation_follows_an_item_to_another_shop(rating_pipeline, rows):
    rating_pipeline.commit(rated(1, 1, 5), rated(2, 1, 3))
    rating_pipeline.project().close()
    assert rows("read_models.shop_page", "id, ratings, reputation") == [(1, 2, 4), (2, 0, None)]
    rating_pipeline.commit("update items set shop_id = 2 where id = 1")
    rating_pipeline.project().close()
    assert rows("read_models.shop_page", "id, ratings, reputation") == [(1, 1, 3), (2, 1, 5)]


def test_an_update_takes_the_old_value_away(rating_pipeline, rows):
    rating_pipeline.commit(rated(1, 1, 5), rated(1, 2, 5))
    rating_pipeline.project().close()
    rating_pipeline.commit("update ratings set stars = 2 where author = 1")
    rating_pipeline.project().close()
    assert rows("rollups.item_ratings") == [(1, 2, 7, 1, 0)]


def test_a_group_that_becomes_empty_is_gone(rating_pipeline, rows):
    rating_pipeline.commit(rated(1, 1, 5))
    rating_pipeline.project().close()
    rating_pipeline.commit("delete from ratings")
    rating_pipeline.project().close()
    for name in ("item_ratings", "kind_amounts", "rated_often", "shop_scores"):
        assert rows(f"rollups.{name}") == [], name
    assert rows("read_models.item_page where id = 1", "average, histogram") == [(None, {"5": 0, "1": 0})]


def test_a_row_changed_many_times_in_one_batch_counts_once(rating_pipeline, rows):
    rating_pipeline.commit(rated(1, 1, 5))
    rating_pipeline.project().close()
    rating_pipeline.commit(
        *(f"update ratings set stars = {stars}, item_id = {item}" for stars, item in ((1, 2), (3, 1), (2, 2)))
    )
    rating_pipeline.commit("truncate ratings", rated(1, 1, 1))
    rating_pipeline.commit("update ratings set stars = 4", "delete from ratings", rated(2, 9, 2))
    rating_pipeline.commit("update ratings set stars = 3")
    rating_pipeline.project().close()
    assert rows("rollups.item_ratings") == [(2, 1, 3, 0, 0)]


def test_a_batch_forgets_what_the_batch_before_it_changed(rating_pipeline, rows):
    for author in (1, 2, 3):
        rating_pipeline.commit(rated(1, author, 5))
    rating_pipeline.project(lambda unread: (unread[0], 1)).close()
    assert rows("rollups.item_ratings") == [(1, 3, 15, 3, 0)]
    assert rows("rollups.shop_scores") == [(1, 3, 15)]


def test_nulls_count_nothing_and_rows_without_a_group_are_in_none(rating_pipeline, rows):
    rating_pipeline.commit(rated(1, 1, 5, amount="null"), rated(1, 2, 5, amount="1.50"), rated(1, 3, 5, kind="null"))
    rating_pipeline.project().close()
    assert rows("rollups.kind_amounts", "item_id, kind, paid, amount::text") == [(1, "k", 1, "1.5")]


def test_a_sum_does_not_remember_the_digits_of_what_left(rating_pipeline, rows):
    rating_pipeline.commit(rated(1, 1, 5, amount="1.5"), rated(1, 2, 5, amount="0.25"))
    rating_pipeline.project().close()
    rating_pipeline.commit("delete from ratings where author = 2")
    rating_pipeline.project().close()
    assert rows("rollups.kind_amounts", "amount::text") == [("1.5",)]


def test_a_sum_survives_what_is_not_a_number(rating_pipeline, rows):
    rating_pipeline.commit(
        rated(1, 1, 5, amount="1.25"), rated(1, 2, 5, amount="'NaN'"), rated(2, 1, 5, amount="'Infinity'")
    )
    rating_pipeline.project().close()
    assert rows("rollups.kind_amounts", "item_id, amount::text") == [(1, "NaN"), (2, "Infinity")]
    rating_pipeline.commit("update ratings set amount = amount + 1 where author = 1")
    rating_pipeline.commit("update ratings set amount = 2 where amount >= 'Infinity'")
    rating_pipeline.project().close()
    assert rows("rollups.kind_amounts", "item_id, amount::text") == [(1, "4.25"), (2, "2")]


def test_a_crash_after_the_rollups_leaves_them_as_they_were(rating_pipeline, rows, store_database):
    rating_pipeline.commit(rated(1, 1, 5))
    rating_pipeline.project().close()

    class Dying(ServingStore):
        def _move(self, checkpoint, transactions=()):
            raise RuntimeError("killed")

    rating_pipeline.commit(rated(1, 2, 1), "update items set shop_id = 2 where id = 1")
    living = rating_pipeline._make_store
    rating_pipeline._make_store = lambda tables, shapes: Dying(
        store_database, tables, ratings.DECLARATIONS, shapes=shapes
    )
    with pytest.raises(RuntimeError):
        rating_pipeline.project()
    assert rows("rollups.shop_scores") == [(1, 1, 5)]
    rating_pipeline._make_store = living
    rating_pipeline.project().close()
    assert rows("rollups.shop_scores") == [(2, 2, 6)]


def commit_what_is_legal(rating_pipeline, transaction) -> None:
    with rating_pipeline.source.connection.transaction():
        for kind, a, b, c in transaction:
            try:
                with rating_pipeline.source.connection.transaction():
                    rating_pipeline.sql(sql(kind, a, b, c))
            except psycopg.errors.IntegrityError:
                continue


def sql(kind: str, a: int, b: int, c: int) -> str:
    return OPERATIONS[kind].format(a=a, b=b, c=c)

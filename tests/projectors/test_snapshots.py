"""A later snapshot is a difference: what changed or went unseen is brought in, and nothing else moves."""

from __future__ import annotations

from itertools import chain, count, repeat

import duckdb
import psycopg
import pytest

from cdc.errors import Transient
from projectors.serving.store import ServingStore

PEOPLE = """insert into users (id, email, first_name, last_name, display_name)
            select n, 'u' || n || '@example.com', 'Ada', 'L' || n, 'ada' from generate_series(1, 6) n"""
GOODS = (
    "insert into sellers (id, name) values (1, 'Mill')",
    "insert into categories (id, name) values (1, 'Tools')",
    "insert into products (id, seller_id, category_id, sku, name, price, currency) values (1, 1, 1, 'S1', 'Saw', 10, 'USD')",
)
PURCHASES = """insert into orders (id, number, user_id, currency, subtotal, tax, shipping, total, shipping_method,
                                shipping_address, estimated_delivery)
            select n, 'ORD-' || n, n, 'USD', 20, 1.6, 5, 26.6, 'standard', '{"city": "London"}', '2026-12-01'
              from generate_series(1, 4) n"""

USERS = "select id, email, first_name, last_name, display_name, version from {schema}.users order by id"
ORDERS = "select id, number, user_id, status, total, version from {schema}.orders order by id"


@pytest.fixture(params=["serving", "analytics"])
def pipeline(request):
    return request.getfixturevalue(request.param)


def given_a_shop(pipeline) -> None:
    pipeline.commit(PEOPLE)
    pipeline.commit(*GOODS)
    pipeline.commit(PURCHASES)
    pipeline.project().close()


def while_nothing_is_captured(pipeline) -> None:
    pipeline.miss(
        "update users set last_name = 'Changed' where id = 1",
        "update orders set status = 'paid' where id = 1",
        "delete from orders where id = 2",
        "delete from users where id in (2, 5)",
        """insert into users (id, email, first_name, last_name, display_name)
           values (7, 'u7@example.com', 'New', 'Seven', 'seven')""",
    )


def test_what_changed_and_went_unseen_is_brought_in(pipeline, mirrored):
    given_a_shop(pipeline)
    while_nothing_is_captured(pipeline)
    pipeline.snapshots.take()
    pipeline.commit("update users set last_name = 'Later' where id = 3")
    pipeline.project().close()
    assert mirrored(USERS) == source(pipeline, USERS)
    assert mirrored(ORDERS) == source(pipeline, ORDERS)


def test_streamed_change_before_an_unread_snapshot_is_not_lost_to_it(pipeline, mirrored):
    given_a_shop(pipeline)
    pipeline.commit("update users set last_name = 'Streamed' where id = 4")
    while_nothing_is_captured(pipeline)
    pipeline.snapshots.take()
    pipeline.commit("update users set last_name = 'Newer' where id = 4", "delete from users where id = 6")
    pipeline.project().close()
    assert mirrored(USERS) == source(pipeline, USERS)


def test_every_snapshot_is_loaded_in_turn(pipeline, mirrored):
    given_a_shop(pipeline)
    while_nothing_is_captured(pipeline)
    pipeline.snapshots.take()
    pipeline.commit("update users set last_name = 'Between' where id = 3")
    pipeline.miss("delete from users where id = 6")
    pipeline.snapshots.take()
    pipeline.project().close()
    assert mirrored(USERS) == source(pipeline, USERS)


def test_what_lies_behind_a_snapshot_that_is_left_out_is_not_applied_without_it(serving, mirrored, monkeypatch):
    given_a_shop(serving)
    serving.commit("update users set last_name = 'Streamed' where id = 4")
    while_nothing_is_captured(serving)
    serving.snapshots.take(shape="of other columns than the source has now")
    serving.commit("update users set last_name = 'Between' where id = 3")
    serving.snapshots.take()
    asked, applied, prepare = count(), [], ServingStore.prepare
    monkeypatch.setattr(ServingStore, "prepare", lambda *it: (applied.append(len(it[1])), prepare(*it))[1])
    serving.project(control=lambda: (next(asked), serving.snapshots.control)[1]).close()
    assert mirrored(USERS) == source(serving, USERS)
    assert mirrored(ORDERS) == source(serving, ORDERS)
    assert applied == [1]
    assert next(asked) < 10, "it asks Kafka again for each row of the snapshot"


def test_rows_of_a_failed_attempt_are_passed_over(pipeline, mirrored):
    given_a_shop(pipeline)
    pipeline.miss("update users set last_name = 'Seen by the attempt' where id = 1")
    pipeline.snapshots.begin()
    pipeline.snapshots.write()
    pipeline.miss("delete from users where id = 5", "update users set last_name = 'Last' where id = 1")
    pipeline.snapshots.take()
    pipeline.project().close()
    assert mirrored(USERS) == source(pipeline, USERS)


def test_rows_of_an_incremental_snapshot_change_nothing(pipeline, mirrored):
    given_a_shop(pipeline)
    pipeline.snapshots.write_incremental()
    pipeline.commit("update users set last_name = 'Newer' where id = 4", "delete from users where id = 6")
    pipeline.snapshots.write_incremental()
    pipeline.project().close()
    assert mirrored(USERS) == source(pipeline, USERS)


def test_running_projector_stops_at_the_barrier_and_begins_anew(pipeline, mirrored):
    given_a_shop(pipeline)
    loaded = pipeline.snapshots.control
    while_nothing_is_captured(pipeline)
    pipeline.snapshots.take()
    pipeline.commit("update users set last_name = 'Behind it' where id = 3")
    told = chain([loaded], repeat(pipeline.snapshots.control))  # the first time it asks, nothing is known yet
    with pytest.raises(Transient, match="beginning anew"):
        pipeline.project(control=lambda: next(told))
    assert mirrored(USERS) != source(pipeline, USERS)
    pipeline.project().close()
    assert mirrored(USERS) == source(pipeline, USERS)


def test_projector_that_dies_in_a_later_load_begins_it_again(serving, store_database, mirrored, monkeypatch):
    given_a_shop(serving)
    before = mirrored(USERS)
    while_nothing_is_captured(serving)
    serving.snapshots.take()
    with monkeypatch.context() as patch:
        patch.setattr(ServingStore, "_move", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            serving.project()
    assert mirrored(USERS) == before
    serving.project().close()
    assert mirrored(USERS) == source(serving, USERS)


def test_equal_rows_cost_nothing_and_histories_learn_only_what_differs(serving, store_rows):
    given_a_shop(serving)
    untouched = store_rows("select xmin, id from mirror.users where id in (3, 4, 6) order by id")
    models = store_rows("select xmin, id from read_models.user_profile where id in (3, 4, 6) order by id")
    serving.snapshots.take()
    while_nothing_is_captured(serving)
    serving.snapshots.take()
    serving.project().close()
    assert store_rows("select xmin, id from mirror.users where id in (3, 4, 6) order by id") == untouched
    assert store_rows("select xmin, id from read_models.user_profile where id in (3, 4, 6) order by id") == models
    assert store_rows("select order_id, status from history.order_timeline order by order_id, end_lsn") == [
        (1, "pending"),
        (1, "paid"),
        (2, "pending"),
        (3, "pending"),
        (4, "pending"),
    ]


def source(pipeline, query):
    return pipeline.sql(query.format(schema="public")).fetchall()


@pytest.fixture
def mirrored(request, store_database, tmp_path):
    """The mirror's answer, from either store."""

    def read(query):
        if (tmp_path / "live.duckdb").exists():
            with duckdb.connect(str(tmp_path / "live.duckdb")) as store:
                return store.execute(query.format(schema="mirror")).fetchall()
        with psycopg.connect(store_database) as store:
            return store.execute(query.format(schema="mirror")).fetchall()

    return read

"""Tables that change at the source while the projector lags behind: the mirror follows, exactly, or stands still by name."""

from __future__ import annotations

from contextlib import contextmanager

import duckdb
import psycopg
import pytest

from cdc.errors import Transient
from tests.projectors.test_snapshots import given_a_shop


@pytest.fixture(params=["serving", "analytics"])
def pipeline(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def ask(store_database, tmp_path):
    """Asks whichever store there is."""

    def ask(query):
        if (tmp_path / "live.duckdb").exists():
            with duckdb.connect(str(tmp_path / "live.duckdb")) as store:
                return store.execute(query).fetchall()
        with psycopg.connect(store_database) as store:
            return store.execute(query).fetchall()

    return ask


def test_added_column_holds_what_it_holds_at_the_source(pipeline, ask):
    given_a_shop(pipeline)
    pipeline.commit("update users set last_name = 'Before' where id = 1")
    pipeline.commit(
        "insert into users (id, email, first_name, last_name, display_name) values (8, 'e@e', 'Ada', 'E', 'a')"
    )
    pipeline.alter("alter table users add column country text not null default 'PT', add column nick text")
    pipeline.commit("update users set country = 'PL', nick = 'n' where id = 2")
    pipeline.commit("update users set last_name = 'After' where id = 3")
    pipeline.project_until_done()
    same_everywhere(pipeline, ask, "users", "id, last_name, country, nick")
    assert pipeline.requests == []


def test_added_column_whose_value_nobody_can_derive_is_brought_by_a_snapshot(pipeline, ask):
    given_a_shop(pipeline)
    pipeline.commit("update users set last_name = 'Before' where id = 1")
    pipeline.alter("alter table users add column token uuid default gen_random_uuid()")
    pipeline.commit("update users set last_name = 'After' where id = 3")
    pipeline.project_until_done()
    same_everywhere(pipeline, ask, "users", "id, last_name, token::text")
    assert len(pipeline.requests) == 1


def test_dropped_column_goes_and_rows_from_before_are_still_read(pipeline, ask):
    given_a_shop(pipeline)
    pipeline.commit("update users set last_name = 'Before', phone = '1' where id = 1")
    pipeline.alter("alter table users drop column phone")
    pipeline.commit("update users set last_name = 'After' where id = 3")
    pipeline.project_until_done()
    same_everywhere(pipeline, ask, "users", "id, last_name")
    assert pipeline.requests == []


def test_renamed_column_takes_its_rows_along(pipeline, ask):
    given_a_shop(pipeline)
    pipeline.commit("update users set avatar_url = 'before' where id = 1")
    pipeline.alter("alter table users rename column phone to mobile")
    pipeline.commit("update users set mobile = 'after' where id = 3")
    pipeline.project_until_done()
    same_everywhere(pipeline, ask, "users", "id, mobile, avatar_url")
    assert pipeline.requests == []


def test_update_from_before_a_rename_is_not_lost(pipeline, ask):
    given_a_shop(pipeline)
    pipeline.commit("update users set phone = 'before' where id = 1")
    pipeline.alter("alter table users rename column phone to mobile")
    pipeline.project_until_done()
    same_everywhere(pipeline, ask, "users", "id, mobile")


def test_renamed_column_of_a_key_is_brought_by_a_snapshot(pipeline, ask):
    """What was written before names its row by the former name: nothing was found under it, and a deleted row stayed."""
    given_a_shop(pipeline)
    pipeline.commit("delete from users where id = 5", "update users set last_name = 'Before' where id = 1")
    pipeline.alter("alter table users rename id to number")
    pipeline.commit("update users set last_name = 'After' where number = 3")
    pipeline.project_until_done()
    query = "select number, last_name from {}.users order by number"
    assert ask(query.format("mirror")) == pipeline.sql(query.format("public")).fetchall()
    assert len(pipeline.requests) == 1


@pytest.fixture
def listed(pipeline):
    """Users are published with a list of columns, which leaves out two that no read model reads."""

    def publish(*names):
        others = ", ".join(t.qualified for t in pipeline.tables if t.name != "users")
        listed = ", ".join(c.name for c in users.columns if c.name not in ("spare", "extra")) + ", ".join(("", *names))
        pipeline.alter(f"alter publication readside set table {others}, users ({listed})")

    pipeline.alter("alter table users add column extra text, add column spare varchar(20)")
    users = next(table for table in pipeline.tables if table.name == "users")
    publish()
    return publish


def test_columns_that_are_not_published_may_come_go_and_change(pipeline, listed, ask):
    given_a_shop(pipeline)
    pipeline.alter(
        "alter table users add note text, alter spare type varchar(40), add seen int default 7",
        "alter table users rename extra to other",
    )
    pipeline.commit("update users set last_name = 'After', note = 'n' where id = 3")
    pipeline.project_until_done()
    pipeline.alter("alter table users drop spare, drop seen")
    pipeline.commit("update users set last_name = 'Last' where id = 1")
    pipeline.project_until_done()
    same_everywhere(pipeline, ask, "users", "id, last_name, status")
    assert pipeline.requests == []


def test_column_that_is_published_later_is_brought_by_a_snapshot(pipeline, listed, ask):
    given_a_shop(pipeline)
    pipeline.commit("update users set spare = '1' where id = 1")
    pipeline.project().close()
    listed("spare")
    pipeline.commit("update users set last_name = 'After' where id = 3")
    pipeline.project_until_done()
    same_everywhere(pipeline, ask, "users", "id, last_name, spare")
    assert len(pipeline.requests) == 1


def test_names_that_change_places_are_brought_by_a_snapshot(pipeline, ask):
    given_a_shop(pipeline)
    pipeline.commit("update users set phone = 'phone', avatar_url = 'avatar' where id = 1")
    pipeline.alter(
        "alter table users rename column phone to x",
        "alter table users rename column avatar_url to phone",
        "alter table users rename column x to avatar_url",
    )
    pipeline.commit("update users set phone = 'avatar' where id = 3")
    pipeline.project_until_done()
    same_everywhere(pipeline, ask, "users", "id, phone, avatar_url")
    assert len(pipeline.requests) == 1


def test_retyped_column_is_brought_by_a_snapshot(pipeline, ask):
    given_a_shop(pipeline)
    pipeline.commit("update users set phone = '17' where id = 1")
    pipeline.alter("alter table users alter column phone type integer using coalesce(phone, '4')::integer")
    pipeline.commit("update users set phone = 5 where id = 3")
    pipeline.project_until_done()
    same_everywhere(pipeline, ask, "users", "id, phone")
    assert len(pipeline.requests) == 1


def test_column_made_anew_under_its_name_is_brought_by_a_snapshot(pipeline, ask):
    given_a_shop(pipeline)
    pipeline.commit("update users set phone = 'old' where id = 1")
    pipeline.alter("alter table users drop column phone", "alter table users add column phone text")
    pipeline.commit("update users set phone = 'new' where id = 3")
    pipeline.project_until_done()
    same_everywhere(pipeline, ask, "users", "id, phone")


def test_running_projector_notices_the_first_row_of_another_shape(pipeline, ask):
    given_a_shop(pipeline)
    known = pipeline.catalogue()
    pipeline.alter("alter table users add column nick text")
    pipeline.commit("update users set nick = 'n' where id = 2")
    with pytest.raises(Transient, match=r"public\.users"):
        pipeline.project(known=known)
    pipeline.project_until_done()
    same_everywhere(pipeline, ask, "users", "id, nick")


def same_everywhere(pipeline, ask, table, columns):
    expected = pipeline.sql(f"select {columns} from public.{table} order by id").fetchall()
    assert ask(f"select {columns} from mirror.{table} order by id") == expected


def test_read_model_of_a_dropped_column_stands_still_and_the_rest_goes_on(serving, store_rows):
    given_a_shop(serving)
    serving.alter("alter table users drop column avatar_url")
    serving.commit("update users set last_name = 'After' where id = 1")
    serving.commit("update orders set status = 'paid' where id = 1")
    serving.project_until_done()
    parked = store_rows("select name from readside.declared where parked like '%avatar_url%' order by name")
    assert [name for (name,) in parked] == [
        "comment_list_item",
        "post_list_item",
        "post_with_comments",
        "user_profile",
    ]
    assert store_rows("select document->>'last_name' from read_models.user_profile where id = 1") == [("L1",)]
    assert store_rows("select document->'customer'->>'name' from read_models.order_details where id = 1") == [
        ("Ada After",)
    ]


def test_read_model_is_built_anew_when_its_column_comes_back(serving, store_rows):
    given_a_shop(serving)
    serving.alter("alter table users drop column avatar_url")
    serving.commit("update users set last_name = 'After' where id = 1")
    serving.project_until_done()
    serving.alter("alter table users add column avatar_url text")
    serving.commit("update users set last_name = 'Later' where id = 2")
    serving.project_until_done()
    assert store_rows("select name from readside.declared where parked is not null") == []
    assert store_rows("select document->>'last_name' from read_models.user_profile where id in (1, 2) order by id") == [
        ("After",),
        ("Later",),
    ]


def test_changed_table_is_parked_where_that_is_asked_for_and_the_rest_goes_on(serving, parking, store_rows):
    given_a_shop(serving)
    serving.alter("alter table reviews add column stars text", "alter table users add column nick text")
    serving.commit("update users set last_name = 'After', nick = 'n' where id = 1")
    with parking("public.users"):
        serving.project_until_done()
    assert store_rows("select last_name from mirror.users where id = 1") == [("L1",)]
    assert ("user_profile",) in store_rows("select name from readside.declared where parked is not null")
    assert len(store_rows("select from information_schema.columns where column_name = 'stars'")) == 1
    serving.commit("update users set last_name = 'Later' where id = 2")
    serving.project_until_done()
    assert serving.requests == ["public.users: it was parked"]
    assert (
        store_rows("select id, last_name, nick from mirror.users order by id")
        == serving.sql("select id, last_name, nick from users order by id").fetchall()
    )
    assert store_rows("select document->>'last_name' from read_models.user_profile where id = 1") == [("After",)]


def test_table_that_is_not_published_any_more_stands_still_and_comes_back_by_a_snapshot(serving, store_rows):
    given_a_shop(serving)
    serving.alter("alter publication readside drop table users", "alter table users disable trigger a_capture")
    serving.sql("update users set last_name = 'Unseen' where id = 1")
    serving.commit("update orders set status = 'paid' where id = 1")
    serving.project_until_done()
    assert store_rows("select parked from readside.mirrored where parked is not null") == [
        ("the source does not publish it any more",)
    ]
    serving.alter("alter publication readside add table users", "alter table users enable trigger a_capture")
    serving.commit("update users set last_name = 'Later' where id = 2")
    serving.project_until_done()
    assert (
        store_rows("select id, last_name from mirror.users order by id")
        == serving.sql("select id, last_name from users order by id").fetchall()
    )
    assert store_rows("select name from readside.declared where parked is not null") == []


def test_changed_table_is_parked_in_the_analytics_store_too(analytics, ask):
    given_a_shop(analytics)
    analytics.alter("alter table users add column nick text")
    analytics.commit("update users set last_name = 'After', nick = 'n' where id = 1")
    analytics.commit("update orders set status = 'paid' where id = 1")
    analytics.parked_on_change = ("public.users",)
    analytics.project_until_done()
    assert ask("select last_name from mirror.users where id = 1") == [("L1",)]
    parked = "select name from readside.declared where parked is not null order by name"
    assert ("customers",) in ask(parked)
    assert ask("select status from mirror.orders where id = 1") == [("paid",)], "the rest goes on"
    analytics.parked_on_change = ()
    analytics.commit("update users set last_name = 'Later' where id = 2")
    analytics.project_until_done()
    assert analytics.requests == ["public.users: it was parked"]
    assert ask(parked) == []
    same_everywhere(analytics, ask, "users", "id, last_name, nick")


def test_table_that_is_dropped_at_the_source_stands_still_with_what_reads_it(serving, store_rows):
    given_a_shop(serving)
    serving.alter("drop table payment_transactions, payments cascade")
    serving.commit("update users set last_name = 'After' where id = 1")
    serving.project_until_done()
    assert sorted(store_rows('select "table" from readside.mirrored where parked is not null')) == [
        ("public.payment_transactions",),
        ("public.payments",),
    ]
    parked = [name for (name,) in store_rows("select name from readside.declared where parked is not null order by 1")]
    assert parked == ["order_details"]
    assert store_rows("select document->>'last_name' from read_models.user_profile where id = 1") == [("After",)]


def test_label_added_to_an_enum_goes_on_with_the_stream(pipeline, ask):
    pipeline.alter(
        "create type mood as enum ('calm', 'glad')", "alter table users add column mood mood not null default 'calm'"
    )
    given_a_shop(pipeline)
    pipeline.commit("update users set mood = 'glad' where id = 1")
    pipeline.alter("alter type mood add value 'grim' before 'calm'", "alter type mood add value 'wild'")
    pipeline.commit("update users set mood = 'grim' where id = 2")
    pipeline.commit("update users set mood = 'wild' where id = 3")
    pipeline.project_until_done()
    same_everywhere(pipeline, ask, "users", "id, mood::text")
    pipeline.commit("update users set mood = 'glad' where id = 3")
    pipeline.project_until_done()
    same_everywhere(pipeline, ask, "users", "id, mood::text")


@pytest.fixture
def parking(serving):
    """While the block runs, these tables are parked when they change."""

    @contextmanager
    def parking(*tables):
        serving.parked_on_change = tables
        yield
        serving.parked_on_change = ()

    return parking


def test_column_added_after_a_later_snapshot_was_taken(pipeline, ask):
    given_a_shop(pipeline)
    pipeline.miss("update users set last_name = 'Unseen' where id = 1")
    pipeline.snapshots.take()
    pipeline.alter("alter table users add column country text not null default 'PT'")
    pipeline.commit("update users set country = 'PL' where id = 2")
    pipeline.project_until_done()
    same_everywhere(pipeline, ask, "users", "id, last_name, country")

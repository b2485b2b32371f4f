"""A start that finds a table in doubt does the rest of what a start does: nothing declared is left empty or behind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.projectors.test_snapshots import given_a_shop

IN_DOUBT = "alter table users alter column phone type integer using 4"


@pytest.fixture(params=["serving", "analytics"])
def pipeline(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def products(pipeline: Any) -> str:
    return "main.products" if "analytics" in str(pipeline._make_store) else "read_models.product_card"


def parked_behind_a_change(pipeline: Any, run: Any, table: str) -> None:
    pipeline.alter("alter table products rename column sku to code")
    pipeline.commit("update products set name = 'Axe' where id = 1")
    pipeline.project_until_done()
    assert run(f"select name from readside.declared where parked is not null and name = '{table.partition('.')[2]}'")


def brought_up(run: Any, table: str) -> None:
    assert run("select name from readside.declared where parked is not null") == []
    name = "name" if table.startswith("main") else "document->>'name'"
    assert run(f"select {name} from {table}") == [("Axe",)]


def test_what_is_declared_anew_is_built_although_another_table_is_in_doubt(pipeline: Any, run: Any) -> None:
    given_a_shop(pipeline)
    table = products(pipeline)
    run(f"update readside.declared set fingerprint = 'another' where name = '{table.partition('.')[2]}'")
    pipeline.alter(IN_DOUBT)
    pipeline.commit("update users set phone = 5 where id = 3")
    pipeline.project_until_done()
    assert len(pipeline.requests) == 1
    assert run(f"select id from {table}") == [(1,)]


def test_what_was_parked_is_brought_up_although_another_table_is_in_doubt(pipeline: Any, run: Any) -> None:
    given_a_shop(pipeline)
    table = products(pipeline)
    parked_behind_a_change(pipeline, run, table)
    pipeline.alter("alter table products rename column code to sku", IN_DOUBT)
    pipeline.commit("update users set phone = 5 where id = 3")
    pipeline.project_until_done()
    brought_up(run, table)


def stopped_in_doubt(pipeline: Any) -> None:
    """Before the snapshot that it asks for is there; and what put the table in doubt is taken back."""
    pipeline.alter("alter table products add column token uuid default gen_random_uuid()")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_request", raises_interrupt)
        with pytest.raises(KeyboardInterrupt):
            pipeline.project()
    pipeline.alter("alter table products drop column token")


def raises_interrupt(_reason: str) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("snapshot", [False, True])
def test_what_is_declared_anew_is_built_although_the_doubt_of_its_table_goes_away(
    pipeline: Any, run: Any, *, snapshot: bool
) -> None:
    given_a_shop(pipeline)
    table = products(pipeline)
    before = run(f"select id from {table}")
    run(f"delete from readside.declared where name = '{table.partition('.')[2]}'")
    run(f"drop table {table}")
    stopped_in_doubt(pipeline)
    if snapshot:
        pipeline.snapshots.take()
    pipeline.project_until_done()
    assert run(f"select id from {table}") == before
    assert run("select name from readside.declared where parked is not null") == []


def test_what_was_parked_is_brought_up_although_a_doubt_of_its_table_goes_away(pipeline: Any, run: Any) -> None:
    given_a_shop(pipeline)
    table = products(pipeline)
    parked_behind_a_change(pipeline, run, table)
    pipeline.alter("alter table products rename column code to sku")
    stopped_in_doubt(pipeline)
    pipeline.snapshots.take()
    pipeline.project_until_done()
    brought_up(run, table)


def test_what_happened_to_a_row_is_not_told_twice_by_the_snapshot_of_a_table_in_doubt(
    serving: Any, store_rows: Any
) -> None:
    given_a_shop(serving)
    serving.commit("update orders set status = 'paid', version = 2, updated_at = now() where id = 1")
    serving.project_until_done()
    serving.alter("alter table orders alter column carrier type integer using 4")
    serving.commit("update orders set version = 3 where id = 2")
    serving.project_until_done()
    assert len(serving.requests) == 1
    told = store_rows(
        "select order_id, status from history.order_timeline where order_id < 3 order by order_id, end_lsn"
    )
    assert told == [(1, "pending"), (1, "paid"), (2, "pending")]


def test_a_later_snapshot_leaves_parked_what_still_cannot_be_computed(serving: Any, store_rows: Any) -> None:
    given_a_shop(serving)
    serving.alter("alter table users drop column avatar_url")
    serving.commit("update users set last_name = 'After' where id = 1")
    serving.project_until_done()
    parked = store_rows("select name, parked from readside.declared where parked is not null order by name")
    assert "user_profile" in dict(parked)
    serving.snapshots.take()
    serving.project_until_done()
    assert store_rows("select name, parked from readside.declared where parked is not null order by name") == parked
    serving.alter("alter table users add column avatar_url text")
    serving.commit("update users set last_name = 'Later' where id = 2")
    serving.project_until_done()
    shown = "select document->>'last_name' from read_models.user_profile where id in (1, 2) order by id"
    assert store_rows(shown) == [("After",), ("Later",)]


def test_a_rollup_that_is_declared_anew_does_not_fail_for_a_table_in_doubt(pipeline: Any, run: Any) -> None:
    given_a_shop(pipeline)
    rollup = "orders_by_customer" if products(pipeline).startswith("main") else "user_orders"
    run(f"update readside.declared set fingerprint = 'another' where name = '{rollup}'")
    pipeline.alter("alter table orders add column token uuid default gen_random_uuid()")
    pipeline.commit("update orders set version = 3 where id = 2")
    pipeline.project_until_done()
    assert len(pipeline.requests) == 1
    assert sorted(run(f"select user_id from rollups.{rollup}")) == [(1,), (2,), (3,), (4,)]


@pytest.mark.parametrize("killed", [False, True])
def test_a_history_that_is_declared_anew_begins_with_the_snapshot_of_its_table_in_doubt(
    pipeline: Any, run: Any, monkeypatch: pytest.MonkeyPatch, *, killed: bool
) -> None:
    given_a_shop(pipeline)
    pipeline.commit("update orders set status = 'paid', version = 2, updated_at = now() where id = 1")
    pipeline.project_until_done()
    analytics = products(pipeline).startswith("main")
    history = "main.order_status_changes" if analytics else "history.order_timeline"
    run(f"delete from readside.declared where name = '{history.partition('.')[2]}'")
    run(f"drop table {history}")
    pipeline.alter("alter table orders add column token uuid default gen_random_uuid()")
    pipeline.commit("update orders set version = 3 where id = 2")
    if killed:
        with monkeypatch.context() as patch:
            patch.setattr(pipeline, "_request", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                pipeline.project()
    pipeline.project_until_done()
    assert len(pipeline.requests) == 1
    told = f"select order_id, status from {history} order by end_lsn, order_id"
    begun = [(1, "paid"), (2, "pending"), (3, "pending"), (4, "pending")]
    assert run(told) == begun
    pipeline.commit("update orders set status = 'paid', version = 4, updated_at = now() where id = 2")
    pipeline.project_until_done()
    assert run(told) == [*begun, (2, "paid")]

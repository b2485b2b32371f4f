"""What an adversarial reading of dead letters found; each failed before it was mended."""

from __future__ import annotations

import contextlib
import json

import msgspec.structs
import pytest

from cdc.errors import Fatal, Refused
from tests.projectors.test_dead_letters import (
    USERS,
    carried_out,
    first,
    letters,
    names,
    out_of_range,
    rename,
    renamed,
    spoil,
    unknown_operation,
    user,
)  # fmt: skip
from tests.projectors.test_snapshots import given_a_shop

LONG = "https://example.com/" + "x" * 300  # so long that an update which leaves it alone does not send it


def in_one_batch(unread):
    """The transaction topic is read last."""
    return next((p for p in unread if not p[0].endswith("transaction")), unread[0]), 1000


def replaced(pipeline, topic, wanted, **new):
    """``new``: fields of the records, each made from the record."""
    for (name, _), records in pipeline.log.partitions.items():
        for r in list(records) if name == topic else ():
            if r.value and wanted(json.loads(r.value)):
                records[r.offset] = msgspec.structs.replace(r, **{field: make(r) for field, make in new.items()})


def column(store, name):
    return dict(store._connection.execute(f"select id, {name} from mirror.users order by id").fetchall())


# 1 ------------------------------------------------------------------------------------------------------------------
def test_analytics_model_of_a_dropped_column_stands_still(analytics):
    given_a_shop(analytics)
    analytics.alter("alter table users drop column loyalty_tier")
    analytics.commit("update users set last_name = 'After' where id = 1")
    analytics.project_until_done()


def test_serving_model_of_a_dropped_column_stands_still_though_another_table_was_in_doubt(serving, store_rows):
    given_a_shop(serving)
    serving.alter("alter table users drop column avatar_url", "alter table reviews alter column rating type bigint")
    store = serving._make_store(*serving.catalogue())
    store.open()  # waits for a snapshot, and is stopped
    assert store.doubt
    store.close()
    serving.parked_on_change = ("public.reviews",)  # the operator's answer
    serving.commit("update users set last_name = 'After' where id = 1")
    serving.project_until_done()
    assert store_rows("select last_name from mirror.users where id = 1") == [("After",)]


# 2 ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "alteration, wanted",
    [
        ("alter table users add column country text not null default 'PT'", "last_name, country"),
        ("alter table users rename column phone to telephone", "last_name, telephone"),
    ],
)
def test_a_letter_from_before_an_alteration_is_retried_as_what_it_means_now(pipeline, alteration, wanted):
    pipeline.commit(user(1))
    pipeline.commit("update users set phone = '123' where id = 1")
    renamed(pipeline, 1, "Bad", out_of_range)
    pipeline.commit(rename(1, "Behind"))
    pipeline.project().close()
    pipeline.alter(alteration)
    pipeline.project_until_done()
    store = pipeline.project()
    store = carried_out(pipeline, store, first(store), "drop")
    store = carried_out(pipeline, store, first(store), "retry")
    try:
        assert letters(store) == []
        stored = store._connection.execute(f"select {wanted} from mirror.users").fetchall()
        assert stored == pipeline.sql(f"select {wanted} from users").fetchall()
    finally:
        store.close()


def test_a_retry_for_a_table_that_stands_still_does_not_break_the_projector(serving):
    given_a_shop(serving)
    serving.parked_on_poison = ("public.users",)
    renamed(serving, 1, "Bad", out_of_range)
    serving.alter("alter table users add column nick text")
    serving.parked_on_change = ("public.users",)
    serving.project_until_done()
    store = serving.project()
    carried_out(serving, store, first(store), "retry").close()


# 3 ------------------------------------------------------------------------------------------------------------------
def test_a_value_refused_in_an_update_that_leaves_a_long_value_alone_is_parked(pipeline):
    pipeline.commit(user(1), f"update users set avatar_url = '{LONG}' where id = 1")
    pipeline.project().close()
    renamed(pipeline, 1, "Bad", out_of_range)
    store = pipeline.project()
    try:
        assert (column(store, "version"), letters(store)) == ({1: 1}, [(1, "poison")])
    finally:
        store.close()


# 4 ------------------------------------------------------------------------------------------------------------------
def test_a_change_of_key_whose_second_half_was_parked_keeps_its_long_value(pipeline, monkeypatch):
    pipeline.commit(user(1), f"update users set avatar_url = '{LONG}' where id = 1")
    pipeline.project().close()
    pipeline.commit("update users set id = 9 where id = 1")
    spoil(pipeline, unknown_operation)
    store = pipeline.project()
    from cdc import poison

    decode = poison.decode_change
    monkeypatch.setattr(
        poison, "decode_change", lambda value, *rest: decode(value.replace(b'"op": "?', b'"op": "'), *rest)
    )
    while letters(store):
        store = carried_out(pipeline, store, first(store), "retry")
    try:
        assert column(store, "avatar_url") == {9: LONG}
    finally:
        store.close()


def test_a_change_of_key_to_one_that_is_parked_waits_whole(pipeline):
    """Its delete was applied: the row was gone under both keys, and its long value with it."""
    pipeline.commit(user(1), f"update users set avatar_url = '{LONG}' where id = 1", user(2))
    pipeline.project().close()
    renamed(pipeline, 2, "Bad", out_of_range)
    pipeline.commit("delete from users where id = 2")
    pipeline.commit("update users set id = 2 where id = 1")
    store = pipeline.project()
    assert letters(store) == [(2, "poison"), (2, "behind"), (1, "behind"), (2, "behind")]
    assert column(store, "avatar_url") == {1: LONG, 2: None}
    store = carried_out(pipeline, store, first(store), "drop")
    while letters(store):
        store = carried_out(pipeline, store, first(store), "retry")
    try:
        assert column(store, "avatar_url") == {2: LONG}
    finally:
        store.close()


# 5 ------------------------------------------------------------------------------------------------------------------
def test_a_bad_value_that_only_a_history_sees_is_found(serving):
    serving.parked_on_poison = ("public.orders",)
    given_a_shop(serving)
    serving.commit("update orders set version = 2 where id = 1")
    replaced(serving, "shop.public.orders", lambda e: e["op"] == "u", value=lambda r: out_of_range(r.value))
    serving.commit("update orders set version = 3 where id = 1")
    serving.project(in_one_batch).close()


def test_a_bad_value_that_a_later_segment_replaces_is_found(serving, monkeypatch):
    from projectors.serving import store

    monkeypatch.setattr(store, "_CHANGES_PER_SEGMENT", 2)
    serving.parked_on_poison = ("public.users",)
    serving.commit(user(1), user(2), user(3))
    serving.project().close()
    serving.commit(rename(1, "Bad"))
    spoil(serving, out_of_range)
    serving.commit(rename(2, "X"), rename(3, "X"), rename(1, "Good"))
    serving.project(in_one_batch).close()


def test_a_bad_value_in_an_image_of_a_former_shape_is_found(serving):
    serving.parked_on_poison = ("public.users",)
    serving.commit(user(1))
    serving.project().close()
    serving.commit(rename(1, "Bad"))
    spoil(serving, out_of_range)
    serving.alter("alter table users rename column version to revision")
    store = serving.project()
    assert letters(store) == [(1, "poison")]
    store.close()


def test_good_images_of_a_former_shape_are_not_parked(pipeline):
    pipeline.commit(user(1), user(2))
    pipeline.project().close()
    pipeline.commit(rename(1, "Good"))
    pipeline.alter("alter table users add column country text not null default 'PT'")
    pipeline.commit(rename(2, "Bad"))
    spoil(pipeline, out_of_range)
    store = pipeline.project(in_one_batch)
    try:
        assert (letters(store), names(store)) == ([(2, "poison")], {1: "Good", 2: "B"})
    finally:
        store.close()


def test_a_key_that_is_refused_in_a_delete_is_found(pipeline):
    pipeline.commit(user(1))
    pipeline.project().close()
    pipeline.commit("delete from users where id = 1")
    replaced(pipeline, USERS, lambda e: e["op"] == "d", key=lambda r: b'{"id": %d}' % 10**30)
    store = pipeline.project()
    assert len(store.dead_letters()) == 1
    store.close()


# 6 ------------------------------------------------------------------------------------------------------------------
def test_a_new_snapshot_leads_past_a_value_that_was_refused(pipeline):
    pipeline.parked_on_poison = ()
    pipeline.commit(user(1))
    pipeline.project().close()
    pipeline.commit(rename(1, "Bad"))
    spoil(pipeline, out_of_range)
    with pytest.raises(Refused):
        pipeline.project()
    pipeline.snapshots.take()
    pipeline.project_until_done()
    store = pipeline.project()
    assert names(store) == {1: "Bad"}
    store.close()


# 7 ------------------------------------------------------------------------------------------------------------------
def test_a_broken_character_is_parked(pipeline):
    pipeline.commit(user(1), user(2))
    pipeline.project().close()
    pipeline.commit(rename(1, "Bad"))
    spoil(pipeline, lambda value: value.replace(b'"Bad"', b'"B\xffd"'))
    store = pipeline.project()
    assert letters(store) == [(1, "poison")]
    store.close()


@pytest.mark.parametrize(
    "value, headers",
    [
        (b'{"source": {"lsn": 99999999999999999999999}}', []),
        (b'{"lsn": %b}' % (b"9" * 5000), []),
        (b"not even JSON", [("__debezium.oldkey", b"not JSON")]),
        (b"not even JSON", [("__debezium.oldkey", b"{not JSON}")]),
    ],
)
def test_a_foreign_record_is_parked_or_stops_the_store_by_name(serving, value, headers):
    serving.parked_on_poison = ("public.users",)
    serving.commit(user(1))
    serving.log.append(USERS, b'{"id": 1}', value, headers)
    with contextlib.suppress(Fatal):
        serving.project().close()


def test_a_broken_key_in_another_table_while_something_is_parked(serving):
    given_a_shop(serving)
    serving.parked_on_poison = ("public.users", "public.orders")
    renamed(serving, 1, "Bad", out_of_range)
    serving.commit("update orders set version = 2 where id = 1")
    replaced(serving, "shop.public.orders", lambda e: e["op"] == "u", key=lambda r: b'{"id": }')
    with contextlib.suppress(Fatal):
        serving.project().close()


# 8 ------------------------------------------------------------------------------------------------------------------
def test_a_snapshot_s_row_as_debezium_writes_it_is_parked(serving):
    serving.parked_on_poison = ("public.users",)
    serving.commit(user(1), user(2))
    serving.project().close()
    serving.snapshots.take()

    def as_debezium(r):  # tests/fixtures/debezium/zoo.json.gz: rows of op r have "txId":970
        envelope = json.loads(r.value)
        envelope["source"]["txId"] = 771
        return unknown_operation(json.dumps(envelope).encode())

    replaced(serving, USERS, lambda e: e["op"] == "r" and e["after"]["id"] == 1, value=as_debezium)
    serving.project_until_done()
    store = serving.project()
    assert letters(store) == [(1, "poison")]
    store.close()


def test_a_record_cut_short_is_not_placed_by_its_row_s_own_columns(serving):
    serving.alter("alter table users add column total_order int not null default 1")
    serving.commit(user(1), user(2), user(3))
    serving.project().close()
    serving.parked_on_poison = ("public.users",)
    serving.commit(rename(1, "One"), rename(2, "Two"))
    spoil(serving, lambda value: value[: value.index(b'"transaction"')])
    serving.commit(rename(3, "Three"))
    try:
        store = serving.project()
    except Fatal:
        return  # says so, as it should
    try:
        assert names(store)[3] == "Three", "nothing is applied any more, and nobody says so"
    finally:
        store.close()


# below the eight ------------------------------------------------------------------------------------------------------
def test_what_came_before_a_poison_is_not_parked_behind_it(pipeline):
    pipeline.commit(user(1), user(2))
    pipeline.project().close()
    pipeline.commit(rename(1, "Good"))
    pipeline.commit(rename(1, "Bad"))
    spoil(pipeline, unknown_operation)
    pipeline.commit(rename(2, "Refused"))
    spoil(pipeline, out_of_range)
    store = pipeline.project(in_one_batch)
    try:
        assert (letters(store), names(store)) == ([(1, "poison"), (2, "poison")], {1: "Good", 2: "B"})
    finally:
        store.close()


def test_a_model_made_while_something_is_parked_tells_of_it(serving, store_rows):
    serving.parked_on_poison = ("public.users",)
    serving.commit(user(1))
    spoil(serving, out_of_range)
    store = serving.project()
    store._connection.execute("delete from readside.declared where name = 'user_profile'")  # as if declared only now
    store.close()
    serving.project().close()
    assert store_rows("select dead_letters from readside.declared where name = 'user_profile'") == [(1,)]


def test_changes_do_not_count_what_was_refused(pipeline):
    pipeline.commit(user(1), user(2))
    pipeline.project().close()
    pipeline.commit(rename(1, "Bad"))
    spoil(pipeline, out_of_range)
    pipeline.commit(rename(2, "Good"))
    store = pipeline.project(lambda unread: (in_one_batch(unread)[0], 1))
    changes = store._connection.execute("select changes from readside.checkpoint").fetchall()
    store.close()
    assert changes == [(3,)]

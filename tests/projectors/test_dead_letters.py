"""What cannot be applied is parked with everything behind it, or stops the store; what is parked can be applied later."""

from __future__ import annotations

import json
from typing import Any

import msgspec.structs
import pytest

from cdc.errors import BEGIN_ANEW, Refused, Unreadable
from projectors.letters import Asked, Place
from projectors.tally import unaccounted
from tests.laws import assert_mirror_equals_source, assert_models_equal_a_build
from tests.scripted import PREFIX

USERS = f"{PREFIX}.public.users"


def user(number: int, name: str = "B") -> str:
    return f"""insert into users (id, email, first_name, last_name, display_name)
               values ({number}, '{number}@example.com', 'A', '{name}', 'C')"""


def rename(number: int, name: str) -> str:
    return f"update users set last_name = '{name}' where id = {number}"


def renamed(pipeline: Any, number: int, name: str, spoiled: Any) -> None:
    """A change that cannot be applied, and a projector that comes upon it: nothing behind it is in its batch."""
    pipeline.commit(rename(number, name))
    spoil(pipeline, spoiled)
    pipeline.project().close()


def spoil(pipeline: Any, change: Any, *, which: int = -1) -> None:
    """``change`` is done to the bytes of the users topic's newest record that is no tombstone, in whichever partition."""
    records = [r for p, rs in pipeline.log.partitions.items() if p[0] == USERS for r in rs if r.value is not None]
    newest = sorted(records, key=lambda record: place(record.value))[which]
    pipeline.log.partitions[newest.partition][newest.offset] = msgspec.structs.replace(
        newest, value=change(newest.value)
    )


def place(value: bytes) -> tuple[int, int]:
    envelope = json.loads(value)
    return envelope["source"]["lsn"], envelope["transaction"]["total_order"]


def unknown_operation(value: bytes) -> bytes:
    return value.replace(b'"op": "', b'"op": "?')


def broken(value: bytes) -> bytes:
    return value.replace(b'"before": null', b'"before" null')


def out_of_range(value: bytes) -> bytes:
    envelope = json.loads(value)
    envelope["after"]["version"] = 10**30
    return json.dumps(envelope).encode()


def names(store: Any) -> dict[int, str]:
    """Last names by id, in the mirror."""
    query = "select id, last_name from mirror.users order by id"
    connection = store._connection
    return dict(connection.execute(query).fetchall())


def letters(store: Any) -> list[tuple[int, str]]:
    """(user, reason in short), in order."""
    return [
        (json.loads(letter.key)["id"], "behind" if letter.reason.startswith(("behind", "before")) else "poison")
        for letter in store.dead_letters()
    ]


def first(store: Any) -> Place:
    return store.dead_letters()[0].place


def ask(store: Any, place: Place, action: str) -> None:
    """As the command does."""
    if hasattr(store, "ask"):
        store.ask(Asked(place, action))  # pyright: ignore[reportArgumentType]
    else:
        store._connection.execute(
            'update readside.dead_letters set asked = %s where (topic, partition, "offset") = (%s, %s, %s)',
            (action, *place),
        )


def carried_out(pipeline: Any, store: Any, place: Place, action: str) -> Any:
    """Ask, and let a projector of the same store do it."""
    projected: list[Any] = []
    asked = type(store).asked
    ask(store, place, action)
    wanted = asked(store)
    store.close()
    make = pipeline._make_store

    def with_asked(*arguments: Any) -> Any:
        made = make(*arguments)
        left = [wanted]
        made.asked = lambda: left.pop() if left else []
        projected.append(made)
        return made

    pipeline._make_store = with_asked
    try:
        return pipeline.project()
    finally:
        pipeline._make_store = make


def test_by_default_the_store_stops_and_says_how_to_go_on(serving):
    serving.commit(user(1))
    spoil(serving, unknown_operation)
    with pytest.raises(
        Unreadable, match=r"shop\.public\.users\[\d\]@0: .*READSIDE_PARKED_ON_POISON=public\.users"
    ) as told:
        serving.project()
    assert str(told.value).endswith(BEGIN_ANEW)


@pytest.mark.parametrize("spoiled", [unknown_operation, broken, out_of_range])
def test_the_row_and_what_follows_for_it_is_parked_and_the_rest_goes_on(pipeline, spoiled):
    pipeline.commit(user(1), user(2))
    pipeline.project().close()
    pipeline.commit(rename(1, "Bad"), user(3))
    spoil(pipeline, spoiled, which=-2)
    pipeline.project().close()
    pipeline.commit(rename(1, "Behind"), rename(2, "Good"))
    pipeline.commit("delete from users where id = 1")
    store = pipeline.project()
    assert letters(store) == [(1, "poison"), (1, "behind"), (1, "behind")]
    assert names(store) == {1: "B", 2: "Good", 3: "B"}
    assert not unaccounted(store.counts())
    assert sum(counts.parked for counts in store.counts().values()) == 3
    store.close()


def test_what_is_parked_stays_so_over_a_restart(pipeline):
    pipeline.commit(user(1))
    spoil(pipeline, out_of_range)
    pipeline.project().close()
    pipeline.commit(rename(1, "Behind"))
    store = pipeline.project()
    assert letters(store) == [(1, "poison"), (1, "behind")]
    assert not unaccounted(store.counts())
    store.close()


def test_a_change_of_key_is_parked_whole(pipeline):
    pipeline.commit(user(1), user(2))
    renamed(pipeline, 1, "Bad", out_of_range)
    pipeline.commit("update users set id = 9 where id = 1")
    pipeline.commit(rename(9, "Behind"))
    store = pipeline.project()
    assert letters(store) == [(1, "poison"), (1, "behind"), (9, "behind"), (9, "behind")]
    assert names(store) == {1: "B", 2: "B"}
    store.close()


def test_after_the_cause_is_dropped_a_retry_applies_the_rest_in_order(pipeline):
    pipeline.commit(user(1), user(2))
    renamed(pipeline, 1, "Bad", out_of_range)
    pipeline.commit("update users set id = 9 where id = 1")
    pipeline.commit(rename(9, "Last"))
    store = pipeline.project()
    store = carried_out(pipeline, store, first(store), "drop")
    assert letters(store) == [(1, "behind"), (9, "behind"), (9, "behind")], "nothing is applied by a drop"
    store = carried_out(pipeline, store, store.dead_letters()[-1].place, "retry")
    assert letters(store) == []
    assert names(store) == {2: "B", 9: "Last"}
    assert not unaccounted(store.counts())
    store.close()
    pipeline.commit(rename(9, "Flows again"))
    store = pipeline.project()
    assert names(store)[9] == "Flows again"
    store.close()


def test_what_cannot_be_applied_yet_stays_with_what_is_behind_it(pipeline):
    pipeline.commit(user(1))
    renamed(pipeline, 1, "Bad", unknown_operation)
    pipeline.commit(rename(1, "Behind"))
    store = pipeline.project()
    store = carried_out(pipeline, store, first(store), "retry")
    assert letters(store) == [(1, "poison"), (1, "behind")]
    assert names(store) == {1: "B"}
    assert not unaccounted(store.counts())
    store.close()


def test_once_readside_understands_it_a_retry_applies_it(pipeline, monkeypatch):
    pipeline.commit(user(1))
    renamed(pipeline, 1, "Bad", unknown_operation)
    pipeline.commit(rename(1, "Behind"))
    store = pipeline.project()
    from cdc import poison

    decode = poison.decode_change
    monkeypatch.setattr(
        poison, "decode_change", lambda value, *rest: decode(value.replace(b'"op": "?', b'"op": "'), *rest)
    )
    store = carried_out(pipeline, store, first(store), "retry")
    assert letters(store) == []
    assert names(store) == {1: "Behind"}
    store.close()


def test_truncate_releases_what_was_parked_before_it(pipeline):
    pipeline.commit(user(1), user(2))
    renamed(pipeline, 1, "Bad", out_of_range)
    pipeline.commit("truncate users, orders, posts cascade")
    pipeline.commit(user(1, "Again"))
    store = pipeline.project()
    assert letters(store) == []
    assert names(store) == {1: "Again"}
    assert not unaccounted(store.counts())
    store.close()


def test_a_later_snapshot_releases_everything(serving, store_database):
    serving.parked_on_poison = ("public.users",)
    serving.commit(user(1), user(2))
    serving.commit(rename(1, "Bad"))
    spoil(serving, unknown_operation)
    store = serving.project()
    assert letters(store) == [(1, "poison")]
    store.close()
    serving.snapshots.take()
    serving.project_until_done()
    store = serving.project()
    assert letters(store) == []
    assert not unaccounted(store.counts())
    store.close()
    assert_mirror_equals_source(serving, store_database)
    assert_models_equal_a_build(serving, store_database)


def test_a_foreign_record_in_a_table_s_topic_is_parked_by_its_key(pipeline):
    pipeline.commit(user(1), user(2))
    pipeline.log.append(USERS, b'{"id": 1}', b"not even JSON", [])
    store = pipeline.project()
    assert letters(store) == [(1, "poison")]
    store.close()
    pipeline.commit(rename(1, "Behind"), rename(2, "Good"))
    store = pipeline.project()
    assert letters(store) == [(1, "poison"), (1, "behind")]
    assert names(store) == {1: "B", 2: "Good"}
    assert not unaccounted(store.counts())
    store.close()


@pytest.mark.parametrize("key", [None, b"not JSON"])
def test_what_names_no_row_stops_the_store_whatever_the_policy(pipeline, key):
    pipeline.commit(user(1))
    pipeline.log.append(USERS, key, b"not even JSON", [])
    with pytest.raises(Unreadable, match="does not say which row"):
        pipeline.project()


def test_a_value_that_the_store_refuses_in_a_table_that_is_not_parked_stops_it(serving):
    serving.parked_on_poison = ("public.orders",)
    serving.commit(user(1))
    spoil(serving, out_of_range)
    with pytest.raises(Refused, match=r"users\[\d\]@0: .*READSIDE_PARKED_ON_POISON=public.users") as told:
        serving.project()
    assert str(told.value).endswith(BEGIN_ANEW)


def test_there_is_an_end_to_how_much_is_parked(pipeline):
    pipeline.most_dead_letters = 2
    pipeline.commit(user(1))
    renamed(pipeline, 1, "Bad", out_of_range)
    pipeline.commit(rename(1, "Behind"))
    pipeline.commit(rename(1, "Too much"))
    with pytest.raises(Unreadable, match="2 changes are parked already"):
        pipeline.project()


def test_a_damaged_record_sent_again_is_parked_once(pipeline):
    pipeline.commit(user(1))
    renamed(pipeline, 1, "Bad", out_of_range)
    again = pipeline.log.transactions[-1]
    pipeline.log.send(again, fresh_start=True)
    store = pipeline.project()
    assert letters(store) == [(1, "poison")]
    assert not unaccounted(store.counts())
    store.close()


def test_reads_of_what_it_touches_can_tell(serving, store_rows):
    serving.parked_on_poison = ("public.users",)
    serving.commit(user(1))
    spoil(serving, out_of_range)
    serving.project().close()
    told = store_rows("select name from readside.declared where dead_letters = 1 order by name")
    orders, posts = ["order_details", "order_list_item"], ["post_list_item", "post_with_comments"]
    assert [name for (name,) in told] == ["comment_list_item", *orders, *posts, "product_page", "user_profile"]

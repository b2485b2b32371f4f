"""Canaries: what a store that watches them accepts, and what proves a hole."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from cdc.canary import Watch
from cdc.errors import HistoryLost, Poison


def record(life: str, number: int, prefix: str = "readside.canary") -> bytes:
    """As Debezium 3.7 writes it under cdc/connector.toml."""
    content = json.dumps({"life": life, "number": number}).encode().hex()
    return json.dumps(
        {
            "op": "m",
            "source": {"schema": "", "table": "", "lsn": 29187376, "txId": 898, "sequence": '["29185776","29187376"]'},
            "transaction": {"id": "898:29187376", "total_order": 1, "data_collection_order": 1},
            "message": {"prefix": prefix, "content": content},
        }
    ).encode()


def watched(*canaries: tuple[str, int], watch: Watch | None = None, noted: Sequence[str] = ()) -> Watch:
    """``noted``: the lives that the control topic tells of, oldest first."""
    watch = watch or Watch()
    for life, number in canaries:
        watch.see(record(life, number), lambda: noted)
    return watch


def test_a_store_that_has_seen_none_takes_whatever_comes_first():
    assert watched(("a", 7), ("a", 8)).state() == {"a": 8}


def test_canaries_sent_again_after_a_restart_are_in_order():
    assert watched(("a", 7), ("a", 8), ("a", 7), ("a", 8), ("a", 9)).state() == {"a": 9}


def test_another_supervision_begins_at_nought_and_may_overlap():
    assert watched(("a", 7), ("b", 0), ("a", 8), ("b", 1)).state() == {"a": 8, "b": 1}


def test_a_missing_number_is_history_lost():
    with pytest.raises(HistoryLost, match=r"canary 9 of a came and canary 8 never did.*0/1BD5D30"):
        watched(("a", 7), ("a", 9))


def test_a_supervision_whose_first_canary_is_missing_is_history_lost():
    with pytest.raises(HistoryLost, match="canary 1 of b came and canary 0 never did"):
        watched(("a", 7), ("b", 1))


LIVES = ("a", *(f"b{number}" for number in range(40)), "c")


def test_a_life_that_many_others_followed_may_be_sent_again():
    """Supervisions whose connector never ran sent their first canary alone; it runs, and starts at its slot once more."""
    watch = watched(*(("a", number) for number in range(6)), *((life, 0) for life in LIVES[1:-1]), noted=LIVES)
    assert "a" not in watch.state()
    watch = Watch(dict(sorted(watch.state().items())))  # a checkpoint is no list
    watched(("a", 4), ("a", 5), *((life, 0) for life in LIVES[1:]), ("c", 1), watch=watch, noted=LIVES)
    with pytest.raises(HistoryLost, match="canary 3 of c came and canary 2 never did"):
        watched(("c", 3), watch=watch, noted=LIVES)


def test_a_life_that_began_before_the_first_that_a_store_saw_may_be_sent_again():
    assert watched(("b1", 0), ("a", 7), ("a", 8), noted=LIVES).state() == {"b1": 0, "a": 8}


def test_the_first_canary_of_a_life_behind_those_that_were_seen_is_missed():
    with pytest.raises(HistoryLost, match="canary 1 of c came and canary 0 never did"):
        watched(("a", 7), *((life, 0) for life in LIVES[1:-1]), ("c", 1), noted=LIVES)


def test_a_supervision_begins_anew_with_each_connection_to_the_source():
    one, two, noted = "p-000001", "p-000002", ("a", "p", "c")
    watch = watched(("a", 7), (one, 0), (one, 1), (two, 0), (one, 1), (two, 1), noted=noted)
    assert watch.state() == {"a": 7, one: 1, two: 1}
    assert watched((two, 5), (one, 3), noted=noted).state() == {two: 5, one: 3}
    with pytest.raises(HistoryLost, match="canary 1 of p-000003 came and canary 0 never did"):
        watched(("p-000003", 1), watch=watch, noted=noted)
    with pytest.raises(Poison):
        watched(("q-000001", 0), watch=watch, noted=noted)


def test_of_a_life_that_is_no_supervision_s_the_first_is_told_and_none_counts():
    watch = watched(("a", 7))
    with pytest.raises(Poison, match="'forged'"):
        watch.see(record("forged", 3), lambda: ("a",))
    for number in (0, 9):
        watch.see(record("forged", number), lambda: pytest.fail("it is known by now"))
    assert watch.state() == {"a": 7}


def test_what_was_seen_is_taken_up_again():
    watch = Watch(json.loads(json.dumps(watched(("a", 7)).state())))
    with pytest.raises(HistoryLost):
        watched(("a", 9), watch=watch)


def test_other_peoples_messages_are_none():
    watch = watched(("a", 7))
    watch.see(record("a", 9, prefix="somebody.else"))
    assert watch.state() == {"a": 7}

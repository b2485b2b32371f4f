"""Where a traced row is stuck, and which row is meant: judged from what the hops say, without any of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc.change import Change
from projectors.letters import Place
from stack.captured import Captured
from stack.errors import StackError
from stack.trace.log import Passage, Passages
from stack.trace.sought import Sought, same, sought
from stack.trace.source import SourceRow
from stack.trace.stores import StoreRow
from stack.trace.verdict import verdict

USERS = Captured(qualified="public.users", topic="shop.public.users", mirror="users", key=("id",))
FOLLOWS = Captured(qualified="public.follows", topic="shop.public.follows", mirror="follows", key=("by", "whom"))
UNKNOWN = Captured(qualified="public.follows", topic="shop.public.follows", mirror="follows")
PLACE = Place("shop.public.users", 1, 5)
ROW = Sought(USERS, {"id": 1})
SOURCE = SourceRow(present=True, lsn=100, xmin=7, key={"id": 1}, row={"id": 1, "name": "Ada"})
CHANGE = Change(
    table="public.users", op="u", key=b'{"id":1}', row=b"{}", partial=False, old_key=None, xid=7, order=1, lsn=90,
    previous_end=None, committed_us=1,
)  # fmt: skip
KAFKA = Passages(found=(Passage(place=PLACE, change=CHANGE, read_us=2, kafka_ms=3),), scanned=6, whole=True)
SERVING = StoreRow(store="serving", present=True, end_lsn=120, fates={PLACE: "applied"}, row={"id": 1, "name": "Ada"})
ANALYTICS = StoreRow(store="analytics", present=True, end_lsn=120, fates={PLACE: "applied"})
LETTER = {"id": str(PLACE), "reason": "not a change"}
GONE = SourceRow(present=False, lsn=100, key={"id": 1})
EMPTY = (replace(SERVING, present=False, fates={}, row={}), replace(ANALYTICS, present=False, fates={}))


@pytest.mark.parametrize(
    ("source", "kafka", "stores", "state", "said"),
    [
        (SOURCE, KAFKA, (SERVING, ANALYTICS), "ok", "stuck nowhere: in both stores it is as the source has it"),
        (SOURCE, KAFKA, (SERVING, replace(ANALYTICS, kept=False)), "ok", "in the serving store it is"),
        (SOURCE, Passages(whole=True), (SERVING, ANALYTICS), "ok", "stuck nowhere"),
        (SOURCE, KAFKA, (replace(SERVING, end_lsn=95), ANALYTICS), "ok", "stuck nowhere"),
        (GONE, Passages(whole=True), EMPTY, "degraded", "There is no such row"),
        (
            SOURCE, KAFKA, (replace(SERVING, end_lsn=80, fates={PLACE: "waiting"}), ANALYTICS), "degraded",
            "between Kafka and the serving store: shop.public.users[1]@5 is not applied, the store stands at 0/50",
        ),
        (
            SOURCE, Passages(), (replace(SERVING, end_lsn=80, fates={}), ANALYTICS), "degraded",
            "between the source and Kafka: what transaction 7 wrote",
        ),
        (GONE, KAFKA, (replace(SERVING, end_lsn=95), ANALYTICS), "degraded", "between the source and Kafka: that the row"),
        (
            SOURCE, KAFKA, (SERVING, replace(ANALYTICS, letters=(LETTER,))), "degraded",
            "in the analytics store: 1 change of it is parked; `readside dead-letters show shop.public.users[1]@5`",
        ),
        (
            SOURCE, KAFKA, (replace(SERVING, row={"id": 1, "name": "Eve"}), ANALYTICS), "degraded",
            "The serving store has other values in name",
        ),
        (SOURCE, KAFKA, (SERVING, replace(ANALYTICS, present=False)), "degraded", "The analytics store has not the row"),
        (replace(SOURCE, fault="the source does not answer"), KAFKA, (SERVING, ANALYTICS), "down", "the source does not"),
        (SOURCE, Passages(fault="Kafka does not answer"), (SERVING, ANALYTICS), "down", "Kafka does not answer"),
        (SOURCE, KAFKA, (SERVING, StoreRow(store="analytics", fault="no answer")), "down", "no answer; see `readside s"),
    ],
    ids=[
        "arrived", "a store keeps nothing of it", "Kafka forgot it", "the store has not heard more yet", "no such row",
        "not applied", "not captured", "deletion not captured", "parked", "other values", "missing", "no source",
        "no Kafka", "no store",
    ],
)  # fmt: skip
def test_where_it_is_stuck_is_said(
    source: SourceRow, kafka: Passages, stores: tuple[StoreRow, ...], state: str, said: str
) -> None:
    found = verdict(ROW, source, kafka, stores)
    assert found.state == state
    assert said in found.sentence


@pytest.mark.parametrize(
    ("table", "typed", "pairs", "key"),
    [
        (USERS, "1", [], {"id": "1"}),
        (USERS, "a,b", [], {"id": "a,b"}),
        (USERS, None, ["id=a=b"], {"id": "a=b"}),
        (FOLLOWS, "1,2", [], {"by": "1", "whom": "2"}),
        (FOLLOWS, None, ["whom=2", "by=1"], {"by": "1", "whom": "2"}),
        (UNKNOWN, "1,2", [], {"#1": "1", "#2": "2"}),
    ],
    ids=["one column", "a comma in it", "by name", "two columns", "two by name", "names not known"],
)
def test_a_key_is_taken_as_it_is_typed(
    table: Captured, typed: str | None, pairs: list[str], key: dict[str, str]
) -> None:
    assert sought(table, typed, pairs).key == key


@pytest.mark.parametrize(
    ("typed", "pairs", "said"),
    [
        (None, [], "Give its key, by,whom"),
        ("1", ["by=1"], "Give its key, by,whom"),
        ("1", [], "2 values, not 1"),
        (None, ["by"], "--key by is not name=value"),
        (None, ["by=1"], "--key names by"),
    ],
    ids=["none", "both ways", "too few", "no value", "a column is missing"],
)
def test_what_is_no_key_is_refused(typed: str | None, pairs: list[str], said: str) -> None:
    with pytest.raises(StackError, match=said):
        sought(FOLLOWS, typed, pairs)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, "1", True),
        ("1.50", 1.5, True),
        (True, "true", True),
        (True, 1, True),
        ("2026-11-26T12:00:00Z", "2026-11-26T12:00:00+00:00", True),
        ("a", "b", False),
        (1, 2, False),
        ("2026-11-26", "x", False),
    ],
)
def test_two_forms_of_one_value_are_one(one: object, other: object, equal: bool) -> None:
    assert same(one, other) is equal

"""Answers that are kept ready: each is of one moment, which it names, and never older than was asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from config.settings import Settings
from projectors.analytics.ready import Question, ReadyAnswers
from projectors.analytics.server import serving
from projectors.analytics.sql import Answer, Refused
from projectors.checkpoint import lsn_text
from projectors.read_models import DECLARATIONS
from queries.analytics import Rows
from queries.summary import summary_of
from stack.ports import free
from tests.databases import eventually
from tests.projectors.test_dead_letters import broken, renamed, user
from tests.shop import Shop

ALL = Question.of("orders_summary", {})
YEAR = Question.of("orders_summary", {"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"})


@pytest.fixture
def shop(shop_database: str, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(shop_database, tmp_path, DECLARATIONS.of_store("analytics"))
    yield made
    made.close()


@pytest.fixture
def ready(shop: Shop) -> ReadyAnswers:
    return ReadyAnswers(shop.store, timeout_s=20, interval_s=60)


def order(shop: Shop, number: int) -> int:
    """Place the order; gives the position at which the store has it."""
    with shop.committing():
        shop.put(number, 1, "paid", f"{number}.00", "2026-01-01T12:00:00Z", (7, 1, f"{number}.00"))
    return shop.store.checkpoint.end_lsn


def total(answer: Answer | None) -> int:
    assert answer is not None
    return summary_of(msgspec.json.decode(answer.body, type=Rows))["total_orders"]  # pyright: ignore[reportReturnType]


def test_the_answer_of_the_commit_before_says_so_and_does_for_no_newer_position(
    shop: Shop, ready: ReadyAnswers
) -> None:
    first = order(shop, 1)
    assert ready.find(ALL) is None
    assert ready.compute(ALL) is ready.find(ALL, first)
    second = order(shop, 2)
    kept = ready.find(ALL, first)
    assert kept is not None
    assert (total(kept), kept.head.end_lsn) == (1, lsn_text(first))
    assert ready.find(ALL, second) is None
    assert total(ready.compute(ALL)) == 2
    assert total(ready.find(ALL, second)) == 2


def test_an_answer_is_computed_anew_behind_a_commit_if_it_was_asked_for(shop: Shop, ready: ReadyAnswers) -> None:
    order(shop, 1)
    ready.compute(ALL)
    ready.compute(YEAR)
    with ready.renewing():
        for number in (2, 3):
            assert ready.find(YEAR) is not None
            reached = order(shop, number)
            eventually(lambda: ready.find(YEAR, reached) is not None)  # noqa: B023
            assert total(ready.find(YEAR)) == number
        assert total(ready.find(ALL)) == 1
        eventually(lambda: total(ready.find(ALL)) == 3)


def test_an_answer_that_was_superseded_longer_ago_is_not_given(shop: Shop) -> None:
    ready = ReadyAnswers(shop.store, timeout_s=20, interval_s=-1.0)  # gives it for no time at all
    ready.compute(ALL)
    assert ready.find(ALL) is not None
    order(shop, 1)
    assert ready.find(ALL) is None


def test_few_answers_are_kept_and_none_that_is_large(ready: ReadyAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [Question.of("orders_summary", {"start": f"2026-01-{day:02}T00:00:00Z"}) for day in range(1, 18)]
    for question in asked:
        ready.compute(question)
    assert [question for question in asked if ready.find(question) is None] == asked[:1]
    monkeypatch.setattr("projectors.analytics.ready._MOST_BYTES", 100)
    assert len(ready.compute(ALL).body) > 100
    assert ready.find(ALL) is None


def test_what_is_refused_is_not_kept(ready: ReadyAnswers) -> None:
    wrong = Question.of("orders_summary", {"start": "yesterday"})
    for _ in range(2):
        with pytest.raises(Refused):
            ready.compute(wrong)
        assert ready.find(wrong) is None


def test_each_answer_under_writes_is_of_the_moment_that_it_names(shop: Shop, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, analytics_address=f"127.0.0.1:{free()[0]}")
    url, done = f"http://{settings.analytics_address}/statements/orders_summary", threading.Event()
    expected = {lsn_text(order(shop, 1)): 1}

    def ask() -> list[tuple[str, str, int]]:
        answers: list[tuple[str, str, int]] = []
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not done.is_set():
                answer = client.post(url, json={}).raise_for_status()
                said = msgspec.json.decode(answer.content)
                assert said["end_lsn"] == answer.headers["Readside-End-Lsn"]
                rows = msgspec.json.decode(answer.content, type=Rows)
                answers.append((said["end_lsn"], said["as_of"], summary_of(rows)["total_orders"]))  # pyright: ignore
        return answers

    moments: dict[str, Any] = {}
    with serving(settings, shop.store), ThreadPoolExecutor(2) as asking:
        asked = [asking.submit(ask) for _ in range(2)]
        try:
            for number in range(2, 25):
                reached = lsn_text(order(shop, number))
                expected[reached] = number
                moments[reached] = shop.store.checkpoint.committed_at
                newest = httpx.post(url, json={"after_lsn": reached, "wait_s": 5}, timeout=30, trust_env=False)
                assert newest.json()["end_lsn"] == reached
        finally:
            done.set()
        answers = [answer for each in asked for answer in each.result()]
    assert len({lsn for lsn, _, _ in answers}) > 3
    for lsn, as_of, orders in answers:
        assert orders == expected[lsn]
        assert lsn not in moments or msgspec.convert(as_of, type(moments[lsn])) == moments[lsn]


def test_after_a_restart_the_first_answer_is_of_the_store_as_it_is(shop: Shop, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, analytics_address=f"127.0.0.1:{free()[0]}")
    url = f"http://{settings.analytics_address}/statements/orders_summary"
    for number in (1, 2):
        reached = lsn_text(order(shop, number))
        with serving(settings, shop.store):
            assert httpx.post(url, json={}, timeout=30, trust_env=False).json()["end_lsn"] == reached


def test_what_an_answer_lacks_is_of_its_own_moment(analytics: Any) -> None:
    """What is parked behind a poisoned record."""
    analytics.parked_on_poison = ("public.users",)
    analytics.commit(user(1), user(2))
    store = analytics.project()
    assert ReadyAnswers(store, timeout_s=20, interval_s=60).compute(ALL).head.dead_letters == 0
    store.close()
    renamed(analytics, 1, "N", broken)
    store = analytics.project()
    assert ReadyAnswers(store, timeout_s=20, interval_s=60).compute(ALL).head.dead_letters == 1
    store.close()

"""The store's own statements, answered in the projector's process: their time is bounded, whatever they waited for."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from projectors.analytics.answering import answer
from projectors.analytics.connection import Connection
from projectors.analytics.sql import Refused
from projectors.analytics.store import AnalyticsStore


def test_a_statement_that_waited_for_a_fork_until_its_time_was_up_is_stopped_all_the_same(
    store: AnalyticsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected, forks, connect = threading.Event(), threading.Event(), store.cursor

    def cursor() -> Connection:
        made = connect()
        connected.set()
        forks.wait()
        return made

    monkeypatch.setattr(store, "cursor", cursor)
    endless = "select count(*) from range(300_000) a, range(200_000) b"
    began = time.monotonic()
    with ThreadPoolExecutor(1) as asking:
        asked = asking.submit(answer, store, lambda _: (endless, {}), {}, timeout_s=0.3)
        connected.wait()
        with store._quiet.forking(1.0):
            forks.set()
            time.sleep(1)
        with pytest.raises(Refused, match=r"stopped after 0\.3 s"):
            asked.result()
    assert time.monotonic() - began < 6


def test_no_connection_is_left_to_be_closed_in_the_middle_of_a_fork(
    store: AnalyticsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that Python takes away does not wait for a fork, and the copy then waits for its lock until its time is up."""
    made: list[Connection] = []
    connect = store.cursor

    def cursor() -> Connection:
        made.append(connect())
        return made[-1]

    monkeypatch.setattr(store, "cursor", cursor)
    assert (store.dead_letters(), store.counts()) == ([], {})
    answer(store, lambda _: ("select 1", {}), {}, timeout_s=5)
    assert len(made) == 3
    for each in made:
        with pytest.raises(duckdb.ConnectionException, match="closed"):
            each.execute("select 1")

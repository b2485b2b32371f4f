"""Freshness from commits that are heard, and the hour that is kept of all figures."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from queries import freshness
from queries.freshness import Freshness
from queries.history import EVERY_S, KEPT_S, History
from tests.databases import eventually
from tests.queries.harness import Api, Projector


def test_percentiles_are_of_the_last_minute_and_pulses_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    measured, now = Freshness(), time.monotonic()
    assert measured.last_minute().p50_ms is None
    measured.add("0/1", 9_000.0, 1, now - 61)
    for place in range(100):
        measured.add(f"0/{place + 2:X}", float(place), 1 + place // 2, now)
    last = measured.last_minute()
    assert (last.p50_ms, last.p99_ms) == (50.0, 99.0)
    assert (last.changes, last.pulses) == (49, 51)


def test_a_clock_that_is_off_makes_no_negative_figure_and_is_told() -> None:
    measured = Freshness()
    for place in range(3):
        measured.add(f"0/{place}", -86_400_000.0, place, time.monotonic())
    last = measured.last_minute()
    assert (last.p50_ms, last.p99_ms, last.clock_ahead_ms) == (0.0, 0.0, 86_400_000.0)


def test_the_same_position_again_is_no_commit() -> None:
    measured = Freshness()
    for age in (5.0, 5_000.0):
        measured.add("0/1", age, 1, time.monotonic())
    assert measured.last_minute().p99_ms == 5.0


def test_what_is_remembered_is_bounded() -> None:
    measured = Freshness()
    for place in range(5 * freshness._MOST):
        measured.add(f"0/{place:X}", 1.0, place, time.monotonic())
    assert measured.last_minute().changes <= freshness._MOST


def test_commits_are_measured_from_the_sources_clock_to_being_heard(api: Api, projector: Projector) -> None:
    committed = datetime.now(UTC) - timedelta(seconds=40)
    measured = api.app.state.store.watch.freshness
    with projector.conn.transaction():
        projector.conn.execute(
            "update readside.checkpoint set end_lsn = '0/300', committed_at = %(at)s, changes = 7", {"at": committed}
        )
        projector.conn.execute("select pg_notify('readside_checkpoint', '0/300')")
    eventually(lambda: measured.last_minute().p50_ms is not None, what="the commit is heard")
    assert 40_000 <= measured.last_minute().p50_ms < 60_000

    def shown() -> int:
        told = api.get("/health").json()["freshness"]
        return told["changes"] + told["pulses"]

    eventually(lambda: shown() == 1, what="a look shows it")


def test_a_row_stands_for_the_worst_of_five_seconds() -> None:
    history = History()
    history.add(1000.0, {"lag": 1.0, "state": "ok", "rate": None})
    history.add(1004.9, {"lag": 0.5, "state": "degraded", "rate": 3.0})
    history.add(1005.0, {"lag": None, "state": "ok", "more": 1.0})
    assert history.to_json(1006.0) == {
        "every_s": EVERY_S,
        "at": [1000, 1005],
        "series": {"lag": [1.0, None], "state": ["degraded", "ok"], "rate": [3.0, None], "more": [None, 1.0]},
    }


def test_an_hour_is_kept_and_no_more() -> None:
    history = History()
    for second in range(3 * KEPT_S):
        history.add(float(second), {"lag": float(second)})
    kept = history.to_json(3 * KEPT_S)
    assert len(kept["at"]) == KEPT_S // EVERY_S - 1
    assert kept["at"][-1] == 3 * KEPT_S - EVERY_S
    assert history.to_json(9 * KEPT_S)["at"] == []


def test_a_clock_that_is_set_back_leaves_times_in_order() -> None:
    history = History()
    for second in (100.0, 200.0, 150.0, 151.0):
        history.add(second, {"lag": second})
    assert history.to_json(210.0)["at"] == [100, 150]

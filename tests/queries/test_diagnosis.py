"""Red with the right cause: each fault as the probes see it, what is shown of it, and what to type."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from queries import diagnosis
from queries.capture import Alarm
from queries.diagnosis import Seen, Sight
from queries.supervision import Supervised
from queries.wal import Looks, Trend
from tests.databases import eventually
from tests.queries.sights import ALL_WELL, WELL, hop, states, store

DAY_S = 86_400.0
SILENT: Seen[Any] = Seen(fault="no answer within 1.3 s")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing."""
    running = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield running
    running.kill()
    running.wait()


def slot(**changes: Any) -> Sight:
    return replace(ALL_WELL, slot=Seen(value=replace(WELL, **changes)))


def component(sight: Sight, name: str) -> Any:
    return next(each for each in diagnosis.components(sight) if each.name == name)


def test_a_process_that_was_stopped_is_told_from_one_that_is_gone(process: subprocess.Popen[bytes]) -> None:
    noted = {"projector-serving": Supervised(name="projector-serving", pid=process.pid)}
    silent = replace(ALL_WELL, projector=SILENT, supervised=noted)
    said = component(silent, "projector-serving").why
    assert said.startswith("does not answer (no answer within 1.3 s), though its process runs")
    process.send_signal(signal.SIGSTOP)
    eventually(lambda: noted["projector-serving"].halted == [process.pid], what="the process is stopped")
    stopped = component(silent, "projector-serving")
    assert stopped.state == "down" and f"`kill -CONT {process.pid}`" in stopped.why
    process.kill()
    process.wait()
    gone = component(silent, "projector-serving")
    assert gone.state == "down" and "is not running" in gone.why


def test_every_process_that_was_stopped_with_another_is_named() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        noted = Supervised(name="postgres", pid=parent.pid)
        try:
            for pid in (child, parent.pid):
                os.kill(pid, signal.SIGSTOP)
            eventually(lambda: noted.halted == [parent.pid, child], what="both are stopped")
            assert f"`kill -CONT {parent.pid} {child}`" in noted.silence("no answer")
        finally:
            os.kill(child, signal.SIGKILL)
            parent.kill()


def test_a_process_that_nobody_starts_again_says_how_the_stack_is_started() -> None:
    noted = {"writer": Supervised(name="writer", supervised=False)}
    said = component(replace(ALL_WELL, writer=SILENT, supervised=noted), "writer")
    assert said.why == "no stack runs in this data directory; start it: `readside up --detach`"


def test_a_connector_that_is_held_because_its_supervision_waits_says_for_what() -> None:
    held = replace(ALL_WELL, connector=Seen(value=("STOPPED", "UNASSIGNED")))
    assert "its supervision starts it again at its slot" in hop(held, "transport").why
    assert "/resume" not in hop(held, "transport").why, "it would begin at its stored offset"
    waits = {"connector": Supervised(name="connector", waits="the source database does not answer")}
    assert hop(replace(held, supervised=waits), "transport").why.startswith("the source database does not answer")


def test_a_process_that_ended_and_starts_again_says_so() -> None:
    again = {"writer": Supervised(name="writer", pid=os.getpid(), state="starting", restarts=2)}
    said = component(replace(ALL_WELL, writer=SILENT, supervised=again), "writer")
    assert said.state == "down" and said.why.startswith("ended and is started again, for the 2. time")


def test_a_store_whose_projector_is_down_says_that_it_is_why() -> None:
    noted = {"projector-serving": Supervised(name="projector-serving")}
    dead = replace(ALL_WELL, projector=SILENT, supervised=noted, serving=store(read=2, age_s=9))
    assert hop(dead, "serving").why.startswith("projector-serving: is not running")


def test_a_first_snapshot_that_cannot_come_says_what_is_in_its_way() -> None:
    loading = replace(ALL_WELL, serving=store(phase="snapshot"))
    assert "first snapshot" in hop(loading, "serving").why
    failed = replace(loading, connector=Seen(value=("RUNNING", "FAILED")))
    assert "its task FAILED" in hop(failed, "serving").why
    dead = replace(loading, projector=SILENT, supervised={"projector-serving": Supervised(name="projector-serving")})
    assert "is not running" in hop(dead, "serving").why


def test_a_serving_projector_elsewhere_lives_as_long_as_its_store_moves() -> None:
    assert states(replace(ALL_WELL, projector=SILENT)) == {}
    still = replace(ALL_WELL, projector=SILENT, serving=store(age_s=9))
    assert states(still) == {"projector-serving": "down", "serving": "degraded"}


def test_what_is_before_a_store_is_why_nothing_comes() -> None:
    paused = replace(ALL_WELL, connector=Seen(value=("PAUSED", "PAUSED")), serving=store(age_s=9))
    assert hop(paused, "transport").why.endswith("/resume`")
    assert hop(paused, "serving").why.startswith("nothing has come for 9 s: the connector is PAUSED")
    broker = replace(ALL_WELL, log=SILENT, analytics=store(age_s=9))
    assert "kafka: does not answer" in hop(broker, "analytics").why
    dropped = replace(ALL_WELL, slot=Seen(value=None), serving=store(age_s=9))
    assert (
        "slot does not exist" in hop(dropped, "serving").why and "python -m cdc snapshot" in hop(dropped, "serving").why
    )


def test_a_connector_that_failed_says_where_it_says_why() -> None:
    failed = replace(
        ALL_WELL, connector=Seen(value=("RUNNING", "FAILED")), connector_url="http://c/connectors/readside"
    )
    assert states(failed) == {"transport": "down"}
    assert "its task FAILED" in hop(failed, "transport").why
    assert "`readside doctor`" in hop(failed, "transport").why
    assert "curl http://c/connectors/readside/status" in hop(failed, "transport").why


def test_what_a_process_waits_for_is_why_its_store_is_late() -> None:
    words = "the serving store does not answer: DiskFull"
    noted = {"projector-serving": Supervised(name="projector-serving", pid=os.getpid(), waits=words)}
    full = hop(replace(ALL_WELL, supervised=noted, serving=store(read=2, age_s=9)), "serving")
    assert full.state == "degraded" and full.why.startswith(words) and "df -h" in full.why
    never = hop(replace(ALL_WELL, supervised=noted, serving=Seen(value=replace(no_store(), position=None))), "serving")
    assert never.state == "down" and never.why.startswith(words)


def test_a_database_that_is_gone_is_why_its_connector_failed_and_nothing_comes() -> None:
    gone = replace(ALL_WELL, slot=SILENT, connector=Seen(value=("RUNNING", "FAILED")), analytics=store(age_s=9))
    assert states(gone) == {"postgres": "down", "capture": "down", "transport": "down", "analytics": "degraded"}
    assert all("postgres: does not answer" in hop(gone, name).why for name in ("capture", "transport", "analytics"))


def test_a_disk_that_is_full_is_said_with_what_to_do() -> None:
    words = "the analytics store refused: IO Error: Could not write file: No space left on device"
    noted = {"projector-analytics": Supervised(name="projector-analytics", error=words)}
    stopped = component(replace(ALL_WELL, supervised=noted), "projector-analytics")
    assert stopped.state == "down" and stopped.why.startswith(words) and "df -h" in stopped.why


def no_store() -> Any:
    seen = store().value
    assert seen is not None
    return seen


def test_what_the_connectors_supervision_waits_for_is_shown() -> None:
    noted = {"connector": Supervised(name="connector", waits="the source database does not answer: OperationalError")}
    waiting = replace(ALL_WELL, supervised=noted)
    assert (states(waiting), hop(waiting, "transport").why) == ({"transport": "degraded"}, noted["connector"].waits)


@pytest.mark.parametrize("ahead_s", [DAY_S, -DAY_S], ids=["ahead", "behind"])
def test_lag_is_told_by_the_sources_clock_and_that_clocks_differ_is_said(ahead_s: float) -> None:
    off = replace(slot(clock_ahead_s=ahead_s), serving=store(age_s=0.3 - ahead_s), analytics=store(age_s=9 - ahead_s))
    assert states(off) == {"capture": "degraded", "analytics": "degraded"}
    assert "clocks differ" in hop(off, "capture").why and "86,400 s" in hop(off, "capture").why
    assert ("ahead of" in hop(off, "capture").why) == (ahead_s > 0)
    assert (hop(off, "serving").lag_seconds, hop(off, "analytics").lag_seconds) == (0.0, 9.0)


def test_a_commit_of_tomorrow_is_no_freshness_where_the_sources_clock_is_not_seen() -> None:
    unseen = replace(ALL_WELL, slot=Seen(unset="READSIDE_SOURCE_DSN"), serving=store(age_s=-DAY_S))
    tomorrow = hop(unseen, "serving")
    assert (tomorrow.state, tomorrow.lag_seconds) == ("degraded", 0.0) and "clocks differ" in tomorrow.why


def trend(over_s: float, growth: float) -> Trend:
    return Trend(over_s=over_s, written_bytes_per_s=9e6, growth_bytes_per_s=growth)


@pytest.mark.parametrize(
    ("changes", "state", "said"),
    [
        ({"wal_status": "lost"}, "down", "python -m cdc snapshot"),
        ({"wal_status": "unreserved"}, "degraded", "max_slot_wal_keep_size"),
        ({"active": False}, "degraded", "nobody reads the slot"),
        ({"retained_bytes": 3 << 30}, "degraded", "READSIDE_WAL_ALARM_BYTES"),
        ({"safe_bytes": 1 << 30, "trend": trend(30, 9e6)}, "degraded", "WAL_ALARM_S"),
        ({"safe_bytes": 1 << 30, "trend": trend(3, 9e6)}, "ok", ""),
        ({"safe_bytes": 1 << 30, "trend": trend(30, 1e5)}, "ok", ""),
        ({"free_bytes": 1 << 30, "trend": trend(30, 9e6)}, "degraded", "no room"),
    ],
    ids=["lost", "unreserved", "unread", "much", "soon", "burst", "slowly", "disk"],
)  # fmt: skip
def test_wal_that_piles_up_is_told_before_the_disk_is_in_danger(changes: Any, state: str, said: str) -> None:
    capture = hop(slot(**changes), "capture")
    assert capture.state == state and said in capture.why


def test_the_thresholds_are_the_settings() -> None:
    patient = replace(slot(retained_bytes=3 << 30), alarm=Alarm(wal_alarm_bytes=4 << 30))
    assert hop(patient, "capture").state == "ok"


def test_time_to_full_is_of_the_scarcer_room_and_of_what_piles_up() -> None:
    piling = Trend(over_s=30, written_bytes_per_s=5000.0, growth_bytes_per_s=1000.0)
    figures = hop(slot(safe_bytes=9_000_000, free_bytes=2_000_000, trend=piling), "capture").figures
    assert (figures["time_to_full_s"], figures["wal_rate_bytes_per_s"]) == (2000, 5000)
    falling = hop(slot(safe_bytes=9_000_000, trend=replace(piling, growth_bytes_per_s=-1.0)), "capture").figures
    assert falling["time_to_full_s"] is None
    assert hop(slot(trend=piling), "capture").figures["time_to_full_s"] is None, "nobody knows how much room there is"


def test_a_trend_is_of_the_last_minute_and_needs_two_looks() -> None:
    now = 0.0
    looks = Looks(clock=lambda: now)
    assert looks.noted(1000, 100) is None
    for now in (30.0, 60.0, 90.0):  # the clock's
        seen = looks.noted(int(1000 + 10 * now), int(100 + now))
    assert seen == Trend(over_s=60.0, written_bytes_per_s=10.0, growth_bytes_per_s=1.0)
    assert looks.noted(5, 0) is None, "another server stands there"

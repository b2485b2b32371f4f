"""What is to be typed about each reason, and figures with their units."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from config import lock
from queries.pipeline import Addresses, Component, Health, Hop
from stack import figures
from stack.remedy import ailments, remedy

LOG = "does not answer (ConnectError); see its log, connect.log, or ./readside up"


def component(why: str, name: str = "connect") -> Component:
    return Component(name=name, state="down" if why else "ok", why=why)


@pytest.mark.parametrize(
    ("why", "command"),
    [
        ("", ""),
        ("3 changes are parked; see `readside dead-letters list`", "readside dead-letters list"),
        ("the replication slot does not exist; ./readside doctor says how to begin anew", "readside doctor"),
        ("BEGIN; take a new snapshot: `python -m cdc snapshot`", "python -m cdc snapshot"),
        ("nothing has come for 9 s, not even a pulse; look at capture and transport", "readside doctor"),
    ],
    ids=["well", "quoted", "named", "a python module", "none named"],
)
def test_the_command_that_a_reason_names_is_the_remedy(why: str, command: str, tmp_path: Path) -> None:
    assert remedy(component(why), tmp_path) == command


def test_a_log_is_shown_when_it_is_there_and_a_stack_that_does_not_run_is_started(tmp_path: Path) -> None:
    assert remedy(component(LOG), tmp_path) == "readside up"
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "connect.log").touch()
    held = lock.take(tmp_path)
    assert held is not None
    with held:
        assert remedy(component(LOG), tmp_path) == f"tail -n 50 {tmp_path}/logs/connect.log"
        assert remedy(component("READSIDE_QUERIES_DSN is not set, so nobody looked"), tmp_path) == "readside config"


def test_one_cause_is_told_once_and_what_is_down_first(tmp_path: Path) -> None:
    late = Hop(name="serving", state="degraded", why="5 changes are not applied yet: it is behind")
    transport = Hop(name="transport", state="down", why=f"Connect {LOG}")
    health = Health(
        addresses=Addresses(
            writer="", queries="", shop_dsn=None, serving_dsn=None, kafka="", connect="", analytics_copy=""
        ),
        components=(component(LOG), component("", "kafka")),
        hops=(late, transport),
        models=(),
        dead_letters=0,
        state="down",
        took_ms=1,
    )
    first, second = ailments(health, tmp_path)
    assert (first.state, first.reasons, first.command) == ("down", (("connect, transport", LOG),), "readside up")
    assert (second.state, second.reasons) == ("degraded", (("serving", late.why),))
    assert ailments(replace(health, components=(), hops=()), tmp_path) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("retained_bytes", 0, "0 B"),
        ("retained_bytes", 1023, "1023 B"),
        ("retained_bytes", 997_552, "974 KiB"),
        ("safe_bytes", 8_591_699_520, "8.0 GiB"),
        ("safe_bytes", None, "-"),
        ("time_to_full_s", 59.4, "59 s"),
        ("time_to_full_s", 9_000, "2.5 h"),
        ("wal_rate_bytes_per_s", 2048, "2.0 KiB/s"),
        ("wal_status", "reserved", "reserved"),
        ("changes", 284, "284"),
    ],
)
def test_figures_have_the_unit_that_their_name_ends_with(name: str, value: float | str | None, said: str) -> None:
    assert figures.figure(name, value) == said


@pytest.mark.parametrize(
    ("per_s", "said"), [(None, None), (0.0, "0"), (7.44, "7.4"), (213.4, "213"), (12_400.0, "12.4k")]
)
def test_rates_are_short(per_s: float | None, said: str | None) -> None:
    assert figures.rate(per_s) == said

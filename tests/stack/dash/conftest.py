"""Looks at a pipeline, made up: well, and with a broker that is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from queries.pipeline import Addresses, Component, Health, Hop, Model

NAMES = ("postgres", "kafka", "connect", "writer", "projector-serving", "projector-analytics", "queries")


@pytest.fixture
def well() -> Health:
    return Health(
        addresses=Addresses(
            writer="http://127.0.0.1:1", queries="http://127.0.0.1:2", shop_dsn=None, serving_dsn=None,
            kafka="127.0.0.1:3", connect="http://127.0.0.1:4", analytics_copy="analytics.duckdb",
        ),
        components=tuple(Component(name=name, state="ok", pid=100, restarts=0) for name in NAMES),
        hops=(
            Hop(name="capture", state="ok", figures={"retained_bytes": 3_145_728, "safe_bytes": None}),
            Hop(name="transport", state="ok", rate=120.4, figures={"connector": "RUNNING", "task": "RUNNING"}),
            Hop(name="serving", state="ok", rate=118.0, lag_changes=2, lag_seconds=0.04, figures={"end_lsn": "0/1"}),
            Hop(name="analytics", state="ok", rate=80.0, lag_changes=31, lag_seconds=0.6, figures={"end_lsn": "0/1"}),
        ),
        models=(
            Model(name="orders", store="analytics", version=None, as_of="2026-11-26T04:00:00Z", rows=70),
            Model(name="order_details", store="serving", version=3, as_of="2026-11-26T04:00:01Z", rows=12_345),
        ),
        dead_letters=0,
        state="ok",
        took_ms=12,
    )  # fmt: skip


@pytest.fixture
def without_kafka(well: Health) -> Health:
    """As queries.diagnosis words it."""
    why = "does not answer (ConnectionRefusedError); see its log, kafka.log, or ./readside up"
    late = "nothing has come for 9 s, not even a pulse; look at capture and transport"
    kafka = {"kafka": why, "transport": f"Kafka {why}"}
    return replace(
        well,
        components=tuple(
            replace(each, state="down", why=kafka[each.name]) if each.name in kafka else each for each in well.components
        ),
        hops=tuple(
            replace(each, state="down", why=kafka[each.name], rate=None) if each.name in kafka
            else replace(each, state="degraded", why=late, lag_seconds=9.0) if each.name == "serving" else each
            for each in well.hops
        ),
        state="down",
    )  # fmt: skip

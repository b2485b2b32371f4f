"""Health: what is down is shown as down and never fails the whole; lag is counted; no secret goes out over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from cdc.catalog import read_tables
from cdc.shapes import read_shapes
from config.settings import Settings
from projectors.analytics import server
from projectors.analytics.connection import opened
from projectors.analytics.store import AnalyticsStore
from projectors.read_models import DECLARATIONS
from queries import diagnosis, probes
from queries.diagnosis import Seen
from queries.health import collect
from queries.pipeline import worst
from queries.supervision import Supervised
from tests.databases import eventually
from tests.queries.harness import Api, Projector
from tests.queries.sights import ALL_WELL, WELL, found, hop, states, store
from tests.shop import Shop

REFUSING = ("projector-serving", "connector")


def test_all_is_well_when_everything_answers_and_is_caught_up() -> None:
    assert states(ALL_WELL) == {}
    assert (hop(ALL_WELL, "serving").lag_changes, hop(ALL_WELL, "serving").lag_seconds) == (0, 0.0)
    assert hop(ALL_WELL, "transport").rate == 40.0
    assert [(model.name, model.store, model.rows) for model in diagnosis.models(ALL_WELL)] == [
        ("order_details", "serving", 5),
        ("order_details", "analytics", 5),
    ]


def test_lag_is_records_of_changes_not_read_yet_and_the_age_of_what_is_shown() -> None:
    behind = hop(replace(ALL_WELL, serving=store(read=2, age_s=1.25)), "serving")
    assert (behind.state, behind.lag_changes, behind.lag_seconds) == ("ok", 5, 1.25)


def test_a_store_that_falls_behind_or_hears_nothing_says_which() -> None:
    slow = hop(replace(ALL_WELL, serving=store(read=2, age_s=9)), "serving")
    assert (slow.state, slow.lag_seconds) == ("degraded", 9.0) and "5 changes" in slow.why
    silent = hop(replace(ALL_WELL, serving=store(age_s=9)), "serving")
    assert (silent.state, silent.lag_seconds) == ("degraded", 9.0) and "not even a pulse" in silent.why
    assert hop(replace(ALL_WELL, serving=store(phase="snapshot")), "serving").state == "degraded"


def test_what_the_background_verification_found_is_told_with_the_command() -> None:
    noted = (
        found("mirror.orders", "serving", 3),
        found("order_details", "serving", 0),
        found("orders", "analytics", 1),
    )
    seen = store().value
    assert seen is not None
    sight = replace(ALL_WELL, serving=Seen(value=replace(seen, verified=noted)))
    told = states(sight)
    assert (told["serving"], told["analytics"]) == ("degraded", "degraded")
    assert hop(sight, "serving").why == (
        "not equal to the source: mirror.orders (3 rows); `readside verify` shows the rows, `readside verify --repair` "
        "makes them equal"
    )
    assert "orders (1 rows)" in hop(sight, "analytics").why
    assert {model.verified for model in diagnosis.models(sight)} == {"2026-03-01T12:00:00.000000Z"}


def test_clocks_that_disagree_make_no_negative_lag() -> None:
    assert hop(replace(ALL_WELL, serving=store(read=2, age_s=-60)), "serving").lag_seconds == 0.0


def test_each_fault_shows_where_it_is() -> None:
    gone: Seen[Any] = Seen(fault="ConnectError")
    assert states(replace(ALL_WELL, slot=Seen(value=None))) == {"capture": "down"}
    assert states(replace(ALL_WELL, slot=Seen(value=replace(WELL, active=False)))) == {"capture": "degraded"}
    assert states(replace(ALL_WELL, slot=Seen(value=replace(WELL, wal_status="lost")))) == {"capture": "down"}
    assert states(replace(ALL_WELL, connector=Seen(value=("RUNNING", "FAILED")))) == {"transport": "down"}
    assert states(replace(ALL_WELL, connector=gone)) == {"connect": "down", "transport": "down"}
    assert states(replace(ALL_WELL, log=gone)) == {"kafka": "down", "transport": "down"}
    assert states(replace(ALL_WELL, writer=gone)) == {"writer": "down"}
    assert states(replace(ALL_WELL, analytics=gone)) == {"projector-analytics": "down", "analytics": "down"}
    assert states(replace(ALL_WELL, slot=gone)) == {"postgres": "down", "capture": "down"}


def test_what_refused_to_run_is_down_with_its_own_words() -> None:
    noted = {name: Supervised(name=name, pid=os.getpid(), error=f"{name} lost history") for name in REFUSING}
    refused = replace(ALL_WELL, supervised=noted)
    assert states(refused) == {"projector-serving": "down", "transport": "down"}
    assert [part.why for part in (*diagnosis.components(refused), *diagnosis.hops(refused)) if part.why] == [
        "projector-serving lost history",
        "connector lost history",
    ]


def test_only_topics_that_a_store_reads_count_as_its_lag() -> None:
    behind = store(read=2, age_s=1.25).value
    assert behind is not None and behind.position is not None
    elsewhere = replace(behind, position=replace(behind.position, topics=frozenset({"shop.public.other"})))
    assert hop(replace(ALL_WELL, serving=Seen(value=elsewhere)), "serving").lag_changes == 0


def test_everything_that_is_not_ok_says_why() -> None:
    nothing: Seen[Any] = Seen(fault="ConnectError")
    dark = replace(
        ALL_WELL, slot=nothing, connector=nothing, log=nothing, serving=nothing, analytics=nothing, writer=nothing
    )
    parts = (*diagnosis.components(dark), *diagnosis.hops(dark))
    assert all(part.why for part in parts if part.state != "ok")
    assert worst([part.state for part in parts]) == "down"


def test_what_is_not_configured_makes_nothing_worse() -> None:
    assert states(replace(ALL_WELL, slot=Seen(unset="READSIDE_SOURCE_DSN"))) == {"capture": "unknown"}
    assert worst(["ok", "unknown"]) == "ok"
    assert worst(["ok", "degraded", "unknown"]) == "degraded"


def test_collecting_is_quick_and_raises_nothing_when_all_is_down(settings: Settings) -> None:
    unreachable = settings.model_copy(
        update={
            # No packet comes back from this network, so these two probes hang rather than fail.
            "queries_dsn": SecretStr("postgresql://readside_queries:pw@192.0.2.1:5433/readside"),
            "source_dsn": SecretStr("postgresql://readside_cdc:pw@192.0.2.1:5433/shop"),
        }
    )
    began = time.monotonic()
    health = collect(unreachable)
    assert time.monotonic() - began < 1.5
    assert health.state == "down"
    assert {component.state for component in health.components} <= {"down", "unknown"}
    json.dumps(health.to_json())


def test_the_serving_store_and_its_models_are_seen(settings: Settings, projector: Projector) -> None:
    projector.conn.execute(
        "insert into readside.declared values ('order_details', 'read_model', 3), ('order_timeline', 'history', 1)"
    )
    projector.apply("0/200", order_details={"id": 1, "version": 1})
    health = collect(settings)
    serving = next(hop for hop in health.hops if hop.name == "serving")
    assert (serving.state, serving.figures) == ("ok", {"phase": "streaming", "end_lsn": "0/200", "changes": 0})
    assert [(model.name, model.version, model.rows) for model in health.models] == [("order_details", 3, 1)]


def test_rows_of_the_analytics_store_are_counted_without_a_place_of_ad_hoc_sql(settings: Settings, shop: Shop) -> None:
    def orders() -> int:
        return next(model.rows for model in collect(settings).models if model.name == "orders")

    assert orders() == 0
    with shop.committing():
        shop.put(1, 1, "paid", "10.01", "2026-01-01T23:30:00Z", (7, 2, "5.00"))
    with ExitStack() as held:
        for _ in range(shop.store.confinement.limits.at_once):
            held.enter_context(shop.store.confinement._places)
        assert orders() == 1


def test_an_analytics_store_that_is_being_opened_says_so_and_is_not_down(
    settings: Settings, shop_database: str
) -> None:
    tables, shapes = read_tables(shop_database, "readside"), read_shapes(shop_database, "readside")
    path, models = settings.data_dir / "live.duckdb", DECLARATIONS.of_store("analytics")
    store = AnalyticsStore(path, tables, models, memory_limit="1GB", shapes=shapes)

    def told() -> tuple[str, str]:
        analytics = next(hop for hop in collect(settings).hops if hop.name == "analytics")
        all_else_well = replace(ALL_WELL, analytics=Seen(value=probes.analytics(settings)))
        return analytics.state, hop(all_else_well, "analytics").why

    being_opened = ("degraded", "the store is being opened, or its first snapshot loaded")
    with server.serving(settings, store):
        assert told() == being_opened
        assert store.row_counts() == {}
        store._connection = opened(path, "1GB", store._quiet)
        try:
            assert told() == being_opened
            assert store.row_counts() == {}, "its tables are not there yet"
        finally:
            store.close()


def test_what_is_parked_is_counted_and_makes_its_hop_worse(settings: Settings, projector: Projector) -> None:
    projector.conn.execute(
        "insert into readside.declared values ('order_details', 'read_model', 3, null, 2);"
        "insert into readside.dead_letters values ('shop.public.orders', 0, 1), ('shop.public.orders', 0, 2)"
    )
    projector.apply("0/200", order_details={"id": 1, "version": 1})
    health = collect(settings)
    serving = next(hop for hop in health.hops if hop.name == "serving")
    assert (health.dead_letters, serving.state) == (2, "degraded")
    assert serving.why.startswith("2 changes are parked: see `readside dead-letters list`; ")
    assert [model.incomplete for model in health.models] == ["2 dead letters"]


def test_the_slot_is_seen_with_the_cdc_role(settings: Settings, shop_database: str) -> None:
    with psycopg.connect(shop_database, autocommit=True) as conn:
        name = f"health_{conn.info.dbname}"
        conn.execute("select pg_create_logical_replication_slot(%(name)s, 'pgoutput')", {"name": name})
    password = conninfo_to_dict(shop_database)["password"]
    cdc = shop_database.replace("//postgres:", "//readside_cdc:")
    seen = collect(settings.model_copy(update={"source_dsn": SecretStr(cdc), "slot": name}))
    capture = next(hop for hop in seen.hops if hop.name == "capture")
    assert (capture.state, capture.figures["wal_status"]) == ("degraded", "reserved")
    assert capture.figures["wal_rate_bytes_per_s"] >= 0, "a first look looks twice"
    assert abs(capture.figures["clock_ahead_ms"]) < 1000, "the server is of this machine"
    assert str(password) in str(seen.addresses.shop_dsn)
    assert str(password) not in json.dumps(seen.masked.to_json())


def test_pids_and_restarts_come_from_the_supervisor(settings: Settings, tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    running = {"name": "writer", "state": "running", "pid": os.getpid(), "restarts": 2}
    gone = {"name": "projector-serving", "state": "running", "pid": dead.pid, "restarts": 0}
    (tmp_path / "stack.json").write_text(json.dumps({"components": [running, gone]}))
    components = {component.name: component for component in collect(settings).components}
    assert (components["writer"].pid, components["writer"].restarts) == (os.getpid(), 2)
    assert components["projector-serving"].state == "down"


def test_the_route_answers_the_same_without_a_password(api: Api) -> None:
    answer = api.get("/health")
    assert answer.status_code == 200
    health = answer.json()
    assert {"addresses", "components", "hops", "models", "dead_letters", "state"} <= health.keys()
    assert [component["name"] for component in health["components"]] == [
        *("postgres", "kafka", "connect", "writer", "projector-serving", "projector-analytics", "queries")
    ]

    def itself() -> str:
        components = api.get("/health").json()["components"]
        return next(component["state"] for component in components if component["name"] == "queries")

    eventually(lambda: itself() == "ok", what="the server sees itself: on a busy machine not within every second")
    assert health["state"] == "down"  # nothing but the store and this server is there
    assert str(conninfo_to_dict(api.settings.queries_dsn.get_secret_value())["password"]) not in answer.text

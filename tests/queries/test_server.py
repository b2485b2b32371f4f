"""The server itself: probes, documents, metrics, the addresses it refuses, and how it stops."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import httpx
import psycopg
import pytest

from config.environment import environment_of
from config.settings import Settings
from tests.databases import eventually
from tests.queries.harness import Api, Projector


def test_readiness_does_not_depend_on_lag(api: Api, projector: Projector) -> None:
    projector.conn.execute("update readside.checkpoint set committed_at = '2001-01-01'")
    assert api.get("/readyz").status_code == api.get("/livez").status_code == 200


def test_a_store_that_is_gone_is_a_problem_and_comes_back(api: Api, projector: Projector, store_database: str) -> None:
    name = projector.conn.info.dbname
    with psycopg.connect(store_database, dbname="postgres", autocommit=True) as admin:
        admin.execute(f"alter database {name} allow_connections false")
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = %(name)s and application_name like 'readside-queries%%'",
            {"name": name},
        )
        for path in ("/readyz", "/orders"):
            eventually(lambda path=path: api.get(path).json().get("type") == "/problems/store-unavailable")
        assert api.get("/livez").status_code == 200
        admin.execute(f"alter database {name} allow_connections true")
    eventually(lambda: api.get("/readyz").status_code == 200, what="the store is reached again")


def test_what_is_not_there_is_a_problem(api: Api) -> None:
    assert api.get("/nothing").json()["type"] == "/problems/not-found"
    answer = api.http.delete("/orders/7")
    assert (answer.status_code, answer.json()["type"]) == (405, "/problems/method-not-allowed")
    assert answer.headers["Allow"] == "GET"


def test_a_request_that_fails_takes_no_other_with_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(api.app.state.store, "read", fail)
    for _ in range(40):  # over one client, whose connection is not cut under the next request
        answer = api.get("/orders")
        assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal")


def test_the_documents_need_nothing_from_outside(api: Api) -> None:
    page = api.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert not re.search(r"(?:src|href)\s*=\s*\"?(?:https?:)?//|@import|url\(", page.text)
    paths = api.get("/openapi.json").json()["paths"]
    assert {"/orders", "/orders/{id}", "/users/{id}", "/users/{id}/orders", "/sql", "/livez", "/readyz"} <= paths.keys()
    assert "HTTPValidationError" not in api.get("/openapi.json").text


def test_metrics_name_routes_and_never_ids(api: Api) -> None:
    api.get("/orders/424242")
    metrics = api.get("/metrics").text
    assert 'readside_queries_request_duration_seconds_count{method="GET",route="/orders/{id}",status="404"}' in metrics
    assert "424242" not in metrics


def test_the_process_serves_and_stops_on_sigterm(projector: Projector, settings: Settings) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "queries"], env=environment_of(settings), stderr=subprocess.PIPE, text=True
    )
    try:
        with httpx.Client(base_url=f"http://{settings.queries_address}", trust_env=False) as http:

            def ready() -> bool:
                try:
                    return http.get("/readyz").status_code == 200
                except httpx.TransportError:
                    return False

            eventually(ready, what="python -m queries is ready")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)
        assert process.returncode in (0, -signal.SIGTERM)
        assert all(line.startswith("{") for line in log.splitlines()), log
        assert "postgresql://" not in log
    finally:
        process.kill()
        process.wait()

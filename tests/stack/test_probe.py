"""The containers' health checks: healthy is doing the work, not having an open port."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from config.settings import Settings
from stack import probe
from stack.ports import free

Connect = Callable[[object], AbstractContextManager[Settings]]


@pytest.fixture
def connect(tmp_path: Path) -> Connect:
    """Settings whose Kafka Connect answers for the connector with the status given."""

    @contextmanager
    def answering(status: object) -> Generator[Settings]:
        class Worker(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.path == "/connectors/readside/status"
                content = json.dumps(status if known else {}).encode()
                self.send_response(200 if known else 404)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Worker) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield Settings(data_dir=tmp_path, connect_url=f"http://127.0.0.1:{server.server_port}")
            server.shutdown()
            thread.join()

    return answering


def status(connector: str, *tasks: str) -> dict[str, object]:
    return {"connector": {"state": connector}, "tasks": [{"id": n, "state": state} for n, state in enumerate(tasks)]}


@pytest.fixture
def store(store_database: str) -> Iterator[psycopg.Connection]:
    """A serving store with a checkpoint, and nothing else."""
    with psycopg.connect(store_database, autocommit=True) as connection:
        connection.execute("create schema readside")
        connection.execute("create table readside.checkpoint (store text, applied_at timestamptz)")
        connection.execute("insert into readside.checkpoint values ('serving', now())")
        yield connection


def test_a_running_connector_is_healthy(connect: Connect) -> None:
    with connect(status("RUNNING", "RUNNING")) as settings:
        probe.connector(settings)


@pytest.mark.parametrize("states", [("RUNNING",), ("RUNNING", "FAILED"), ("PAUSED", "PAUSED")])
def test_a_connector_without_a_running_task_is_not(connect: Connect, states: tuple[str, ...]) -> None:
    with connect(status(*states)) as settings, pytest.raises(probe.Unhealthy, match="see its log"):
        probe.connector(settings)


def test_a_connector_that_nobody_registered_is_not(connect: Connect) -> None:
    with connect(status("RUNNING", "RUNNING")) as settings, pytest.raises(httpx.HTTPStatusError, match="404"):
        probe.connector(settings.model_copy(update={"connector": "another"}))


def test_a_checkpoint_that_moves_is_healthy(store: psycopg.Connection, store_database: str, tmp_path: Path) -> None:
    probe.serving(Settings(data_dir=tmp_path, serving_dsn=SecretStr(store_database)))


def test_a_checkpoint_that_stands_still_is_not(store: psycopg.Connection, store_database: str, tmp_path: Path) -> None:
    store.execute("update readside.checkpoint set applied_at = now() - interval '1 minute'")
    with pytest.raises(probe.Unhealthy, match="has not moved"):
        probe.serving(Settings(data_dir=tmp_path, serving_dsn=SecretStr(store_database)))


@pytest.mark.parametrize("name", ["writer", "queries", "analytics", "serving"])
def test_a_process_that_is_away_is_unhealthy_in_one_sentence(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nobody = f"127.0.0.1:{free()[0]}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["probe", name])
    for setting in ("WRITER_ADDRESS", "QUERIES_ADDRESS", "ANALYTICS_ADDRESS"):
        monkeypatch.setenv(f"READSIDE_{setting}", nobody)
    monkeypatch.setenv("READSIDE_SERVING_DSN", f"postgresql://readside_projector:secret@{nobody}/readside")
    said = str(probe.main())
    assert said.startswith("unhealthy: ")
    assert "secret" not in said


def test_an_unknown_name_is_told_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["probe", "moon"])
    assert probe.main() == "usage: python -m stack.probe writer|queries|analytics|connector|serving"

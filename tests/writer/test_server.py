"""What belongs to no command: tokens, limits, problems of HTTP itself, health, documentation, the process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from stack.ports import free
from tests.databases import Postgres, eventually
from tests.writer.harness import Shop

ADA = {"email": "ada@example.org", "first_name": "Ada", "last_name": "Lovelace"}


def test_a_token_names_the_transaction_and_a_position_after_it(shop: Shop) -> None:
    before = shop.rows("select pg_current_wal_insert_lsn()::text")[0][0]
    _, xid, lsn = shop.send("POST", "/users", ADA).headers["Readside-Token"].split(".")
    assert shop.rows(f"select xmin::text = '{xid}', '{lsn}'::pg_lsn > '{before}'::pg_lsn from users") == [(True, True)]
    assert shop.rows(f"select '{lsn}'::pg_lsn <= pg_current_wal_insert_lsn()") == [(True,)]


def test_a_command_without_effect_announces_itself(shop: Shop) -> None:
    """Its transaction holds a logical message, so that it comes through the pipeline like any other."""
    ada, bob = shop.user(), shop.user("bob")
    shop.does("PUT", f"/users/{ada}/following/{bob}")
    shop.rows("select pg_create_logical_replication_slot('announced', 'test_decoding')")
    _, xid, _ = shop.send("PUT", f"/users/{ada}/following/{bob}").headers["Readside-Token"].split(".")
    shop.until(
        f"""
        select count(*) = 1
        from pg_logical_slot_peek_changes('announced', null, null)
        where xid::text = '{xid}'
          and data like 'message: transactional: 1 prefix: readside.token,%'
        """
    )


def test_a_body_over_the_limit_is_refused(shop: Shop) -> None:
    for path in ("/users", "/orders/1/pay", "/nowhere"):
        for content in (b"x" * 65_537, iter([b"x" * 40_000] * 2)):
            answer = shop.http.post(path, content=content, headers={"Content-Type": "application/json"})
            assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")


def test_a_body_of_the_limit_is_read(shop: Shop) -> None:
    author = shop.user()
    frame = json.dumps({"author_id": author, "title": "t", "body": ""})
    shop.does("POST", "/posts", {"author_id": author, "title": "t", "body": "x" * (65_536 - len(frame))})


def test_a_body_that_is_no_json_object_is_refused(shop: Shop) -> None:
    for content, status, kind in (
        (b'{"email":', 400, "not-json"),
        (b"\xff\xfe{}", 400, "not-json"),
        (b"[" * 60_000, 400, "not-json"),
        (b'{"email": ' + b"9" * 5000 + b"}", 400, "not-json"),
        (b"", 422, "invalid"),
        (b"null", 422, "invalid"),
        (b'{"email": NaN}', 422, "invalid"),
        (b'{"first_name": "\\ud800", "last_name": "L", "email": "a@b"}', 422, "invalid"),
        (b'{"\\ud800": 1}', 422, "invalid"),
    ):
        answer = shop.http.post("/users", content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{kind}"), answer.text
    assert shop.rows("select count(*) from users") == [(0,)]


def test_half_a_body_is_not_carried_out(shop: Shop) -> None:
    """It parses, and would be a user; but the client promised more and left."""
    body = json.dumps(ADA).encode()
    head = (
        f"POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body) + 9}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", httpx.URL(shop.url).port or 80)) as connection:
        connection.sendall(head.encode() + body)
    left = 'readside_writer_request_duration_seconds_count{method="POST",route="unknown",status="0"} 1.0'
    eventually(lambda: left in shop.http.get("/metrics").text)
    assert shop.rows("select count(*) from users") == [(0,)]


def test_a_body_of_another_type_is_refused(shop: Shop) -> None:
    answer = shop.http.post("/users", content=json.dumps(ADA), headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/not-json")


def test_what_is_not_there_is_a_problem(shop: Shop) -> None:
    shop.refuses(404, "not-found", "GET", "/nowhere")
    shop.refuses(404, "not-found", "GET", "/problems/nothing")
    shop.refuses(405, "method-not-allowed", "GET", "/orders")
    assert shop.http.get("/orders").headers["Allow"] == "POST"


def test_no_answer_and_no_log_repeats_values(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.db.execute("alter table users add constraint strange check (first_name <> 'Secret')")
    refused = shop.refuses(500, "internal", "POST", "/users", {**ADA, "first_name": "Secret"})
    assert "Secret" not in json.dumps(refused)
    assert "Secret" not in caplog.text + repr([vars(record) for record in caplog.records])
    assert [vars(record)["sqlstate"] for record in caplog.records if "sqlstate" in vars(record)] == ["23514"]


def test_a_database_that_comes_back_is_used_again(shop: Shop, postgres: Postgres) -> None:
    shop.user()
    database = shop.rows("select current_database()")[0][0]
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as admin:
        admin.execute(SQL("alter database {} allow_connections false").format(Identifier(database)))
        shop.rows(
            """
            select pg_terminate_backend(pid)
            from pg_stat_activity
            where application_name = 'readside-writer'
              and datname = current_database()
            """
        )
        shop.refuses(503, "unavailable", "POST", "/sellers", {"name": "s"})
        assert shop.http.get("/livez").status_code == 200
        assert shop.http.get("/readyz").status_code == 503
        admin.execute(SQL("alter database {} allow_connections true").format(Identifier(database)))
    eventually(lambda: shop.http.post("/sellers", json={"name": "s"}).status_code == 201)


def test_every_problem_is_explained(shop: Shop) -> None:
    refused = shop.refuses(404, "not-found", "PATCH", "/users/99", {"version": 1})
    assert shop.http.get(refused["type"]).text.startswith("404 There is no such thing\n")


def test_the_server_tells_how_it_is(shop: Shop) -> None:
    assert [shop.http.get(path).text for path in ("/livez", "/readyz")] == ["ok", "ok"]
    shop.refuses(404, "not-found", "POST", "/orders/77/pay")
    metrics = shop.http.get("/metrics").text
    labels = 'method="POST",route="/orders/{order_id}/pay",status="404"'
    assert f"readside_writer_request_duration_seconds_count{{{labels}}} 1.0" in metrics


def test_the_documentation_needs_nothing_from_outside(shop: Shop) -> None:
    page = shop.http.get("/docs").text
    assert not re.search(r"https?://|//\w|@import|<link", page)
    for operations in shop.api["paths"].values():
        for method, described in operations.items():
            assert method == "get" or "Problem" in json.dumps(described["responses"]["422"])
            assert described["description"]


def test_only_commands_and_operation_are_served(shop: Shop) -> None:
    reads = {path for path, operations in shop.api["paths"].items() if "get" in operations}
    assert reads == {"/livez", "/readyz", "/metrics"}


def test_the_writers_role_only_changes_rows(writer_dsn: str) -> None:
    with psycopg.connect(writer_dsn, autocommit=True) as db:
        for statement in (
            "create table mine ()",
            "create schema mine",
            "alter table users add column x int",
            "truncate users",
            "drop table comments",
            "delete from schema_migrations",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                db.execute(statement)


def test_the_process_stops_when_told_to(writer_dsn: str) -> None:
    port = free()[0]
    environment = {"READSIDE_WRITER_DSN": writer_dsn, "READSIDE_WRITER_ADDRESS": f"127.0.0.1:{port}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "writer"], env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
    )
    try:
        eventually(lambda: _ready(port), what="the writer answers")
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    assert process.returncode == 0
    assert all(json.loads(line)["level"] == "info" for line in log.splitlines())


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx.TransportError:
        return False

"""The running system as its operators see it: metrics that rules and board read, traces, logs without values, WAL let go."""

from __future__ import annotations

import json
import re
import secrets
from contextlib import closing
from pathlib import Path
from typing import Any, LiteralString

import httpx
import psycopg
import pytest
from kafka import KafkaProducer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families
from psycopg.conninfo import conninfo_to_dict

from config.settings import Settings
from stack.dead_letters import settle
from tests.backends import PARKED, Native, Stack
from tests.databases import eventually
from tests.observability import expressions, metrics_in
from tests.second import database, projecting

#: Told only while WAL piles up, of the disk of a server of this machine, or while a read model is built anew.
SOMETIMES = {
    "readside_slot_time_to_full_seconds",
    "readside_slot_free_disk_bytes",
    "readside_rebuild_done_rows",
    "readside_rebuild_total_rows",
}
LABELS = {
    "projector",
    "result",
    "reason",
    "le",
    "method",
    "route",
    "status",
    "state",
    "store",
    "model",
    "hop",
    "component",
}
#: Those of the client library, whose values are few: Python's version, generations of the garbage collector.
LABELS_OF_PYTHON = {"implementation", "major", "minor", "patchlevel", "version", "generation"}


def scraped(settings: Settings) -> dict[str, list[Any]]:
    """Every sample of every process of ours, by metric."""
    found: dict[str, list[Any]] = {}
    for address in (
        settings.writer_address,
        settings.queries_address,
        settings.analytics_address,
        settings.serving_metrics_address,
    ):
        text = httpx.get(f"http://{address}/metrics", timeout=10).raise_for_status().text
        for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE):
            for suffix in ("_bucket", "_count", "_sum") if kind == "histogram" else ("",):
                found.setdefault(name + suffix, [])
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample)
    return found


def total(settings: Settings, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    samples = scraped(settings)[name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def test_every_metric_of_the_rules_and_the_board_is_told(stack: Stack) -> None:
    stack.wait_healthy()
    new_user(stack, "Ada")
    read = set[str]().union(*(metrics_in(expression) for expression in expressions()))
    told = scraped(stack.settings)
    assert read - told.keys() == set()
    eventually(lambda: scraped(stack.settings)["readside_verified_timestamp_seconds"] != [], deadline_s=90, every_s=1)
    told = scraped(stack.settings)
    assert {name for name in read if not told[name]} <= SOMETIMES
    labels = {label for samples in told.values() for sample in samples for label in sample.labels}
    assert labels <= LABELS | LABELS_OF_PYTHON


def test_what_is_written_is_counted_by_both_projectors(stack: Stack) -> None:
    stack.wait_healthy()
    name = "readside_projector_end_to_end_latency_seconds_count"
    before = {store: total(stack.settings, name, projector=store) for store in ("serving", "analytics")}
    applied = total(stack.settings, "readside_projector_records_total", result="applied", projector="serving")
    new_user(stack, "Ada")
    for store, seen in before.items():
        eventually(lambda s=store, n=seen: total(stack.settings, name, projector=s) > n, what=f"{store} tells of it")
    eventually(
        lambda: (
            total(stack.settings, "readside_projector_records_total", result="applied", projector="serving") > applied
        ),
        what="the record is counted",
    )


def test_an_idle_database_lets_wal_go_that_others_of_its_server_write(stack: Stack) -> None:
    if not isinstance(stack, Native):
        pytest.skip("it makes a database beside the captured one; run it with --stack=native")
    stack.wait_healthy()
    with database(stack.settings, "beside") as dsn, psycopg.connect(dsn, autocommit=True) as other:
        other.execute("create table filler (text text)")
        before = confirmed(other, stack)
        other.execute("insert into filler select repeat(md5(i::text), 30) from generate_series(1, 20_000) i")
        written = other.execute("select pg_current_wal_lsn() - '0/0'").fetchone()
        assert written is not None and written[0] - before > 10_000_000
        eventually(lambda: confirmed(other, stack) >= written[0], what="the slot has passed it", deadline_s=30)


def confirmed(conn: psycopg.Connection[Any], stack: Stack) -> int:
    query = "select confirmed_flush_lsn - '0/0' from pg_replication_slots where slot_name = %(slot)s"
    row = conn.execute(query, {"slot": stack.settings.slot}).fetchone()
    assert row is not None
    return int(row[0])


def test_the_trace_of_a_write_is_linked_from_the_span_that_projects_it(stack: Stack, tmp_path: Path) -> None:
    if not isinstance(stack, Native):
        pytest.skip("it projects into a store of its own; run it with --stack=native")
    stack.wait_healthy()
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with database(stack.settings, "traced") as dsn, projecting(stack.settings, dsn, tmp_path, provider):
        eventually(
            lambda: mirrored(dsn, "select 1 from mirror.users limit 1") is not None, what="it streams", deadline_s=60
        )
        untraced = new_user(stack, "Ada")
        unsampled = new_user(stack, "Ada", traceparent=f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00")
        trace_id = secrets.token_hex(16)
        traced = new_user(stack, "Ada", traceparent=f"00-{trace_id}-{secrets.token_hex(8)}-01")
        for user in (untraced, unsampled, traced):
            eventually(lambda u=user: is_mirrored(dsn, u), what="the write is projected")
        eventually(lambda: linked(spans) == [trace_id], what="its span links to the write's trace")
    (span,) = spans.get_finished_spans()
    assert span.name == "apply serving" and span.parent is None


def linked(spans: InMemorySpanExporter) -> list[str]:
    return [f"{link.context.trace_id:032x}" for span in spans.get_finished_spans() for link in span.links]


def mirrored(dsn: str, query: LiteralString, **parameters: str) -> Any:
    try:
        with psycopg.connect(dsn) as store:
            return store.execute(query, parameters).fetchone()
    except psycopg.errors.UndefinedTable:
        return None


def is_mirrored(dsn: str, user: str) -> bool:
    return mirrored(dsn, "select 1 from mirror.users where id = %(user)s::bigint", user=user) is not None


def new_user(stack: Stack, name: str, **headers: str) -> str:
    body = {"email": f"{secrets.token_hex(6)}@example.com", "first_name": name, "last_name": "Byron"}
    url = f"http://{stack.settings.writer_address}/users"
    return str(httpx.post(url, json=body, headers=headers, timeout=10).raise_for_status().json()["id"])


def test_no_log_holds_a_rows_values_or_a_secret(stack: Stack) -> None:
    if not isinstance(stack, Native):
        pytest.skip("these logs are not in files of ours; run it with --stack=native")
    stack.wait_healthy()
    settings = stack.settings
    values = [f"Zebedee{number}{secrets.token_hex(6)}" for number in range(6)]
    writer = f"http://{settings.writer_address}"
    user = {"email": f"{values[0]}@example.com", "first_name": values[1], "last_name": values[2]}
    made = httpx.post(f"{writer}/users", json=user).raise_for_status().json()
    assert httpx.post(f"{writer}/users", json=user).status_code == 409  # the database's own words quote the address
    assert httpx.post(f"{writer}/users", json=user | {"first_name": [values[3]]}).status_code == 422
    httpx.post(f"http://{settings.queries_address}/sql", json={"sql": f"select '{values[4]}' from nowhere"})
    with closing(KafkaProducer(bootstrap_servers=settings.kafka.split(","))) as producer:  # a record nobody understands
        value = json.dumps({"name": values[5]}).encode()
        producer.send(f"{settings.topic_prefix}.{PARKED[0]}", key=b'{"id":1000000}', value=value).get(10)
    eventually(lambda: total(settings, "readside_projector_dead_letters") >= 2, what="both stores have parked it")
    eventually(lambda: is_read(stack, str(made["id"])), what="the user is read")
    passwords = [
        str(conninfo_to_dict(dsn.get_secret_value())["password"])
        for dsn in (
            settings.admin_dsn,
            settings.writer_dsn,
            settings.source_dsn,
            settings.serving_dsn,
            settings.queries_dsn,
        )
        if dsn is not None
    ]
    settle(settings, [], "drop", store=None, everything=True)  # nothing is left behind for the tests that follow
    logs = {path.name: path.read_text(errors="replace") for path in (settings.data_dir / "logs").iterdir()}
    assert {name for name, text in logs.items() for word in (*values, *passwords) if word in text} == set()
    ours = ("writer.log", "queries.log", "projector-serving.log", "projector-analytics.log", "supervisor.log")
    for line in (line for name in ours for line in logs[name].splitlines()):
        told = json.loads(line)
        if told.get("action") == "change_parked":
            assert re.fullmatch(r"[\w.]+\[\d+\]@\d+", told["place"]) and re.fullmatch(
                r"[0-9A-F]+/[0-9A-F]+", told["lsn"]
            )
        assert {"at", "level", "logger", "message"} <= told.keys() and told["at"].endswith("Z")
        assert "action" in told or not told["logger"].startswith(("writer", "queries", "projectors", "cdc", "stack"))


def is_read(stack: Stack, user: str) -> bool:
    return httpx.get(f"http://{stack.settings.queries_address}/users/{user}", timeout=10).status_code == 200

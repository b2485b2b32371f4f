"""What operators are given: alert rules and the board in Prometheus' grammar, log lines without values, linked traces."""

from __future__ import annotations

import ast
import gzip
import json
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import psycopg
import pytest
import yaml
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cdc.assembler import Transaction
from cdc.change import Change
from config.logs import JsonFormatter
from projectors.tracing import Traces
from stack.plan import NAMES
from tests.observability import FOLDER, PANELS, RULES, expressions, metrics_in
from tests.test_repository import MODULES, named
from writer.tracing import traceparent_of

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE_ID}-b7ad6b7169203331-01"
A_COMMAND = re.compile(r"\./readside \w|`[^`]+`|python -m \w|timedatectl set-ntp")


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_names_its_cause_and_what_to_type(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("Readside") and rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"].keys() == {"summary", "cause", "remedy"}
    assert A_COMMAND.search(rule["annotations"]["remedy"]), rule["annotations"]["remedy"]
    assert metrics_in(rule["expr"]) or rule["expr"].startswith("up"), "it reads a metric"


def test_no_two_alerts_have_a_name() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_every_expression_of_the_board_is_promql_and_every_panel_says_what_it_shows() -> None:
    assert all(metrics_in(expression) or expression.startswith("up") for expression in expressions())
    assert [panel["title"] for panel in PANELS if not panel["description"]] == []


def test_prometheus_is_told_of_every_process_of_ours_at_its_default_address() -> None:
    jobs = {
        job["job_name"]: job["static_configs"][0]["targets"]
        for job in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    }
    ours = {f"readside-{name}" for name in NAMES if name not in ("postgres", "kafka", "connect")}
    assert jobs.keys() == ours
    assert sorted(jobs.values()) == [[f"127.0.0.1:{port}"] for port in (8001, 8002, 8003, 8004)]


@pytest.mark.parametrize("path", [path for path in MODULES if "logger." in path.read_text()], ids=named)
def test_every_log_line_names_what_happened(path: Any) -> None:
    levels = {"debug", "info", "warning", "error", "exception", "critical", "log"}
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in levels
        if ast.unparse(node.func.value) == "logger"
    ]
    assert [ast.unparse(call) for call in calls if "'action'" not in ast.unparse(call)] == []


def test_a_log_line_is_json_in_utc_and_an_exceptions_text_is_not_in_it(store_database: str) -> None:
    with psycopg.connect(store_database, autocommit=True) as conn:
        conn.execute("create table people (email text primary key); insert into people values ('ada@example.com')")
        try:
            try:
                conn.execute("insert into people values ('ada@example.com')")
            except psycopg.Error as cause:
                raise RuntimeError(f"could not keep it: {cause}") from cause
        except RuntimeError:
            record = logging.makeLogRecord(
                {"name": "projectors", "msg": "a batch failed", "levelno": 40, "levelname": "ERROR", "action": "failed"}
                | {"exc_info": sys.exc_info()}
            )
    line = JsonFormatter().format(record)
    assert "ada@example.com" not in line and "\n" not in line
    told = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["at"])
    assert (told["level"], told["action"]) == ("error", "failed")
    assert [each["type"] for each in told["exception"]] == ["RuntimeError", "UniqueViolation"]
    assert told["exception"][1]["sqlstate"] == "23505" and "test_observability.py" in told["exception"][0]["frames"][-1]


def python(program: str, *arguments: str) -> str:
    """What a process of its own says: an SDK is set up for a whole process."""
    ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_without_an_endpoint_a_projector_does_not_even_import_opentelemetry() -> None:
    program = (
        "import sys, projectors.__main__; from config.settings import Settings;"
        "from config.tracing import configure_tracing;"
        "from projectors.metrics import Metrics; configure_tracing(Settings(), 'x'); print(Metrics('serving').traces);"
        "print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert python(program).split() == ["None", "False"]


def test_with_an_endpoint_spans_are_sent_to_the_collector() -> None:
    program = (
        "import sys; from config.settings import Settings; from config.tracing import configure_tracing;"
        "configure_tracing(Settings(otlp_endpoint=sys.argv[1]), 'readside-test'); from opentelemetry import trace;"
        "from projectors.metrics import Metrics; print(Metrics('serving').traces is not None);"
        "trace.get_tracer('test').start_span('a-span').end()"
    )
    with collector() as (endpoint, received):
        assert python(program, endpoint) == "True"
    assert [path for path, _ in received] == ["/v1/traces"]
    assert b"readside-test" in received[0][1] and b"a-span" in received[0][1]


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Takes what is posted to it: its URL, and the paths and bodies that came in."""
    received: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """What is recorded."""
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans: InMemorySpanExporter) -> TracerProvider:
    """An SDK of the test's own, not of the process."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider


@pytest.mark.parametrize(
    ("headers", "carried"),
    [
        ([], None),
        ([(b"traceparent", SAMPLED.encode())], SAMPLED),
        ([(b"traceparent", f"00-{TRACE_ID}-b7ad6b7169203331-00".encode())], None),
        ([(b"traceparent", b"00-0-0-01")], None),
        ([(b"traceparent", b"\xff'; drop table orders --")], None),
    ],
    ids=["none", "sampled", "unsampled", "malformed", "hostile"],
)
def test_only_a_sampled_trace_is_carried(headers: list[tuple[bytes, bytes]], carried: str | None) -> None:
    assert traceparent_of(headers) == carried


def test_the_servers_own_span_is_carried_where_there_is_one(provider: TracerProvider) -> None:
    with provider.get_tracer("test").start_as_current_span("POST /orders") as span:
        carried = traceparent_of([(b"traceparent", SAMPLED.encode())])
    context = span.get_span_context()
    assert carried == f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def message(xid: int, prefix: str = "readside.trace", content: str = SAMPLED) -> bytes:
    """As Debezium 3.7 writes it under cdc/connector.toml."""
    source = {"schema": "", "table": "", "lsn": 29187376, "txId": xid, "sequence": '["29185776","29187376"]'}
    return json.dumps(
        {"op": "m", "source": source, "message": {"prefix": prefix, "content": content.encode().hex()}}
    ).encode()


def written(xid: int) -> Transaction:
    change = Change("public.users", "c", b'{"id":1}', b'{"id":1}', False, None, xid, 1, 1, None, 1)
    return Transaction(xid, 100 + xid, 1, [change])


def links(spans: InMemorySpanExporter) -> list[list[str]]:
    """The trace ids that each recorded span links to."""
    finished: tuple[ReadableSpan, ...] = spans.get_finished_spans()
    return [[f"{link.context.trace_id:032x}" for link in span.links] for span in finished]


def test_a_batch_links_to_the_traces_of_its_writes_and_to_no_other(
    spans: InMemorySpanExporter, provider: TracerProvider
) -> None:
    traces = Traces("serving", provider)
    other = SAMPLED.replace("0af7", "1af7")
    for value in (message(7), message(9, content=other), message(8, "readside.canary"), message(8, content="nothing")):
        traces.see(value)
    began = time.perf_counter()
    traces.applied([written(6), written(7), written(8)], began, 0x108)
    assert links(spans) == [[TRACE_ID]]
    (span,) = spans.get_finished_spans()
    assert span.attributes == {"readside.store": "serving", "readside.end_lsn": "0/108"}
    assert span.start_time is not None and span.end_time is not None and span.start_time <= span.end_time
    traces.applied([written(10)], began, 0x10A)
    assert len(links(spans)) == 1, "a batch without a trace has no span"


def test_a_trace_that_is_read_after_its_transaction_was_applied_is_linked_still(
    spans: InMemorySpanExporter, provider: TracerProvider
) -> None:
    traces = Traces("serving", provider)
    traces.applied([written(7)], time.perf_counter(), 0x107)
    traces.see(message(7))
    traces.see(message(7))  # once more, after the connector was started again
    assert links(spans) == [[TRACE_ID]]


def test_a_batch_of_many_writes_loses_no_link(spans: InMemorySpanExporter, provider: TracerProvider) -> None:
    traces = Traces("serving", provider)
    for xid in range(300):
        traces.see(message(xid))
    traces.applied([written(xid) for xid in range(300)], time.perf_counter(), 0x107)
    assert sum(len(each) for each in links(spans)) == 300

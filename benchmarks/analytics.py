"""``bench analytics``: what the analytics store takes and gives, on a running stack and on stores of 1 and 10 million lines.

- Catch-up: from the topics' beginning into DuckDB, beside a bare kafka-python consumer of the same topics, in alternation.
- Staleness: from a write's answer to the first answer of ``/sql`` that has it; and the age of what the published copy shows.
- Batches of 10,000 changes, as life makes them and of orders of any age, at 10,000,000 stored lines and at 1,000,000.
- At 10,000,000 lines, while 1,000 changes are applied at each interval: the summary of a year, an aggregate over all lines
  by ad hoc SQL, hostile statements; and what each does to the projector's batches.
- The file's size beside that of a fresh, compact copy.
"""

from __future__ import annotations

import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import httpx

from benchmarks import catch_up
from benchmarks.result import Result
from config.environment import environment_of
from config.settings import Settings
from stack import bearer
from stack.freshness import percentile
from stack.judge import await_stores
from stack.ports import free
from stack.terminal import talk

_FEW, _MANY = 1_000_000, 10_000_000  # order lines
_ROUNDS = 3
_PHASE_S = 20.0
_WRITES = 60
_FILL_S = 900.0
_AT_REST_S = 180.0
_AT_ONCE = 2  # who ask ad hoc
_BUSY = 503
_READERS: dict[str, dict[str, str]] = {"kafka_python": {}, "confluent": {"READSIDE_READER": "confluent-kafka"}}
_YEARS = (
    {"start": "2026-01-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"},
    {"start": "2025-10-01T00:00:00Z", "end": "2026-10-01T00:00:00Z"},
    {"start": "2025-11-26T00:00:00Z", "end": "2026-11-26T00:00:00Z"},
)
_AGGREGATE = """
    select product_id, sum(line_total) as revenue, count(*) as lines
      from order_items
     where order_status <> 'cancelled'
     group by product_id
     order by revenue desc
     limit 10
"""
_HOSTILE = (
    "select count(*) from order_items a, order_items b",
    "select length(repeat('a', 2_000_000_000))",
    "select list(i) from range(1_000_000_000) r(i)",
    "select count(distinct hash(i)) from range(1_000_000_000) r(i)",
    "select max(n) from (select lag(id) over (order by hash(id)) as n from order_items)",
    "with recursive forever(n) as (select 1 union all select (n + 1) % 7 from forever) select max(n) from forever",
    "select length(string_agg(repeat('x', 1_000), '')) from order_items",
    "select sum(levenshtein(repeat('ab', 5_000), repeat('ba', 5_000) || i)) from range(100_000) r(i)",
)


def run(settings: Settings) -> Result:
    """Measure on a running stack."""
    figures: dict[str, float | int | str] = {}
    talk.print("staleness of /sql", style="dim")
    figures |= _staleness(settings)
    talk.print("catch-up", style="dim")
    figures |= _catch_up(settings)
    talk.print(f"a store of {_FEW:,} lines", style="dim")
    with _selling(settings, _FEW) as few:
        shown_s = _copy_ages(few.directory)
    talk.print(f"a store of {_MANY:,} lines", style="dim")
    with _selling(settings, _MANY) as many:
        phases = _phases(many)
    for name in ("recent_batch_ms", "uniform_batch_ms"):
        figures |= {f"{name}_1m": few.found[name], f"{name}_10m": many.found[name]}
        figures[f"{name.removesuffix('_ms')}_10m_over_1m"] = many.found[name] / few.found[name]
    figures |= {f"{name}_10m": many.found[name] for name in ("fill_s", "memory_above_idle_mb", "file_mb", "compact_mb")}
    figures["file_over_compact"] = many.found["file_mb"] / many.found["compact_mb"]
    figures |= {"copy_age_p50_s_1m": percentile(shown_s, 0.5), "copy_age_longest_s_1m": max(shown_s)}
    figures |= {f"longest_copy_pause_ms_{n}": c.found["longest_copy_pause_ms"] for n, c in (("1m", few), ("10m", many))}
    figures |= phases.figures(many.batches)
    return Result(name="analytics", figures=figures, goals=_goals(figures))


def _goals(figures: dict[str, Any]) -> dict[str, tuple[float, float, bool]]:
    at_least = {"kafka_python_over_poll": 0.6, "confluent_over_poll": 0.6}
    at_most = {
        "recent_batch_10m_over_1m": 2.0,
        "uniform_batch_10m_over_1m": 4.0,
        "summary_p99_ms": 20.0,
        "file_over_compact": 2.5,
        "batch_p99_hostile_over_alone": 2.0,
        "batch_p50_hostile_over_alone": 1.2,
        "sql_longest_ms": 1_000.0,
        "copy_age_longest_s_1m": 5.0,
    }
    goals = {name: (figures[name], goal, figures[name] >= goal) for name, goal in at_least.items()}
    return goals | {name: (figures[name], goal, figures[name] <= goal) for name, goal in at_most.items()}


def _staleness(settings: Settings) -> dict[str, float]:
    """From a write's answer until ``/sql`` shows it, asked again and again, without its token."""
    taken: list[float] = []
    await_stores(settings, _AT_REST_S)  # what other benchmarks left behind is caught up with first
    with httpx.Client(trust_env=False, timeout=30.0, headers=bearer.headers(settings)) as client:
        for number in range(_WRITES):
            email = f"bench-{time.time_ns():x}@example.com"
            body = {"email": email, "first_name": "Ada", "last_name": f"Byron {number}"}
            client.post(f"http://{settings.writer_address}/users", json=body).raise_for_status()
            began = time.monotonic()
            while not _shows(client, settings, email):
                time.sleep(0.01)
            taken.append((time.monotonic() - began) * 1_000)
    return {"sql_p50_ms": percentile(taken, 0.5), "sql_p99_ms": percentile(taken, 0.99), "sql_longest_ms": max(taken)}


def _shows(client: httpx.Client, settings: Settings, email: str) -> bool:
    question = {"sql": "select count(*) from customers where email = $email", "parameters": {"email": email}}
    answer = client.post(f"http://{settings.queries_address}/sql", json=question)
    return answer.status_code != 503 and answer.raise_for_status().json()["rows"] == [[1]]


def _catch_up(settings: Settings) -> dict[str, float | int | str]:
    """Records a second; the projector reads the topics of the tables that its declarations read, and so does the poll."""
    rows, _ = catch_up.backlog_of(settings)
    topics = catch_up.topics_read(settings, "analytics")
    rates: dict[str, list[float]] = {"poll": []} | {name: [] for name in _READERS}
    for _ in range(_ROUNDS):
        records, seconds = catch_up.child(settings, "poll", settings.kafka, *topics)
        rates["poll"].append(records / seconds)
        for name, chosen in _READERS.items():
            with _directory() as directory:
                arguments = ("analytics", catch_up.position_of(settings))
                _, seconds = catch_up.child(settings, "projection", *arguments, cwd=directory, **chosen)
            rates[name].append(records / seconds)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    each = {f"{name}_records_per_s_rounds": " ".join(f"{value:.0f}" for value in rates[name]) for name in rates}
    ratios = {f"{name}_over_poll": medians[name] / medians["poll"] for name in _READERS}
    return {"rows": rows} | {f"{name}_records_per_s": value for name, value in medians.items()} | each | ratios


@dataclass(slots=True)
class _Selling:
    directory: Path
    address: str
    found: dict[str, float]
    batches: Sequence[tuple[float, float]] = ()  #: when each began, and seconds


@contextmanager
def _selling(settings: Settings, lines: int) -> Generator[_Selling]:
    """A store of so many lines, written to and answering while the block runs; what it found is whole afterwards."""
    address = f"127.0.0.1:{free()[0]}"
    with _directory() as directory:
        child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.selling", str(directory), str(lines)],
            env=environment_of(settings.model_copy(update={"analytics_address": address})),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdin is not None and child.stdout is not None
        try:
            selling = _Selling(directory, address, json.loads(child.stdout.readline()))
            yield selling
            child.stdin.close()
            said = json.loads(child.stdout.readline())
            selling.batches = said.pop("batches")
            selling.found |= said
        finally:
            with suppress(ProcessLookupError):
                child.terminate()
            child.wait(60)


def _copy_ages(directory: Path) -> list[float]:
    """How old what the published copy shows is, in seconds, looked at again and again for a phase."""
    published, ages = directory / "analytics.duckdb", list[float]()
    deadline = time.monotonic() + _PHASE_S + 10.0
    while time.monotonic() < deadline:
        if published.exists():
            with duckdb.connect(published, read_only=True) as copy:
                ages += [now_s - as_of for as_of, now_s in copy.execute(
                    "select epoch(as_of), epoch(now()) from _readside"
                ).fetchall()]  # fmt: skip
        time.sleep(0.2)
    return ages


@dataclass(slots=True)
class _Phases:
    spans: dict[str, tuple[float, float]]
    answers: dict[str, list[float]]

    def figures(self, batches: Sequence[tuple[float, float]]) -> dict[str, float]:
        """Of each phase what its answers took, and the batches of the projector meanwhile."""
        found: dict[str, float] = {}
        for name, (since, until) in self.spans.items():
            taken = [seconds * 1_000 for at, seconds in batches if since <= at < until]
            found |= {f"batch_p50_ms_{name}": percentile(taken, 0.5), f"batch_p99_ms_{name}": percentile(taken, 0.99)}
        for name in [name for name in self.spans if name != "alone"]:
            for p in ("p50", "p99"):
                found[f"batch_{p}_{name}_over_alone"] = found[f"batch_{p}_ms_{name}"] / found[f"batch_{p}_ms_alone"]
        for name, answers in self.answers.items():
            found |= {f"{name}_p50_ms": percentile(answers, 0.5), f"{name}_p99_ms": percentile(answers, 0.99)}
            found[f"{name}_answers"] = len(answers)
        return found


def _phases(selling: _Selling) -> _Phases:
    spans: dict[str, tuple[float, float]] = {}
    answers: dict[str, list[float]] = {}
    address = selling.address
    askers: dict[str, list[Callable[[threading.Event], list[float]]]] = {
        "warming": [],
        "alone": [],
        "summary": [
            lambda stop: _ask(address, stop, "statements/orders_summary", [{"parameters": y} for y in _YEARS], 200)
        ],
        "hourly": [lambda stop: _ask(address, stop, "statements/orders_hourly", [{"parameters": _YEARS[2]}], 200)],
        "ad_hoc": [lambda stop: _ask(address, stop, "sql", [{"sql": _AGGREGATE}], 200)] * _AT_ONCE,
        "hostile": [lambda stop: _ask(address, stop, "sql", [{"sql": one} for one in _HOSTILE], 400)] * _AT_ONCE,
    }
    for name, asking in askers.items():
        stop, began = threading.Event(), time.time()
        with ThreadPoolExecutor(max(1, len(asking))) as pool:
            waiting = [pool.submit(ask, stop) for ask in asking]
            time.sleep(_PHASE_S)
            spans[name] = (began, time.time())
            stop.set()
            if waiting:
                answers[name] = [one for each in waiting for one in each.result()]
    del spans["warming"]
    return _Phases(spans, answers)


def _ask(address: str, stop: threading.Event, path: str, questions: list[dict[str, Any]], status: int) -> list[float]:
    """Milliseconds of each answer, a little rest between them; one that says to ask again is asked again until it answers.

    Raises RuntimeError for another status, 400s being alike.
    """
    taken: list[float] = []
    with httpx.Client(trust_env=False, timeout=60.0) as client:
        for question in itertools.cycle(questions):
            if stop.is_set():
                return taken
            began = time.perf_counter()
            answer = client.post(f"http://{address}/{path}", json=question)
            while answer.status_code == _BUSY and not stop.is_set():
                time.sleep(float(answer.headers["Retry-After"]))
                answer = client.post(f"http://{address}/{path}", json=question)
            if answer.status_code == _BUSY:
                return taken
            taken.append((time.perf_counter() - began) * 1_000)
            if answer.status_code // 100 != status // 100:
                raise RuntimeError(f"{path} answered {answer.status_code}: {answer.text[:200]}")
            time.sleep(0.02)
    return taken


@contextmanager
def _directory() -> Generator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="readside-bench-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)

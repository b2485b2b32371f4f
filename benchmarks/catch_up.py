"""``bench catch-up``: from the topics' beginning into a serving store with every registered read model.

Beside it, on the same topics in the same run, two floors: a bare kafka-python consumer that does nothing with what it
reads, and a bare confluent-kafka loop that decodes and COPYs into plain tables. All are processes of their own, one after
the other, in alternation, each projection into a database of its own; medians are compared. The backlog is made once in a
data directory. Each projection's result is compared with the source. Last comes what `readside rebuild --from kafka` does
with the same topics: they are replayed into a mirror alone.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import LiteralString

import psycopg
from pydantic import SecretStr

from benchmarks import backlog
from benchmarks.database import database
from benchmarks.result import Result
from cdc.catalog import message_topic, topics_of, transaction_topic
from cdc.reader import KafkaPythonReader
from config.environment import environment_of
from config.settings import Settings
from projectors import registry
from projectors.declaration import StoreName
from projectors.run import captured_tables

#: The components of the stack that it needs.
NEEDS = "postgres,kafka,connect"

GOALS = {"kafka_python_ratio": 0.5, "confluent_ratio": 0.8, "replay_over_catch_up": 1.0}
_ROWS = 200_000  # of the tables' topics, at least
_ORDERS = 20_000
_ROUNDS = 3
_LONGEST_S = 300
_DATABASE = "bench_catch_up"
_SOURCE = "select count(*), sum(version), max(updated_at)::text from orders"
_MIRROR = "select count(*), sum(version), max(updated_at)::text from mirror.orders"
_STORE = """
    select count(*), sum(o.version), max(o.updated_at)::text
      from mirror.orders o
      join read_models.order_details d on d.id = o.id and d.version = o.version
      join read_models.order_list_item l on l.id = o.id and (l.document->>'version')::bigint = o.version
"""


def run(settings: Settings) -> Result:
    """Measure on a stack whose own projectors do not run."""
    rows, topics = backlog_of(settings)
    rates: dict[str, list[float]] = {
        name: []
        for name in ("poll_records_per_s", "kafka_python_per_s", "bare_per_s", "confluent_per_s", "replay_per_s")
    }
    for _ in range(_ROUNDS):
        records, seconds = child(settings, "poll", settings.kafka, *topics)
        rates["poll_records_per_s"].append(records / seconds)
        rates["kafka_python_per_s"].append(_projection(settings, "kafka-python"))
        with database(settings, _DATABASE) as dsn:
            changes, _, seconds = child(settings, "bare", settings.kafka, dsn, *topics)
        rates["bare_per_s"].append(changes / seconds)
        rates["confluent_per_s"].append(_projection(settings, "confluent-kafka"))
        rates["replay_per_s"].append(_replay(settings))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratios = {
        "kafka_python_ratio": medians["kafka_python_per_s"] / medians["poll_records_per_s"],
        "confluent_ratio": medians["confluent_per_s"] / medians["bare_per_s"],
        "replay_over_catch_up": medians["replay_per_s"] / medians["kafka_python_per_s"],
    }
    each = {f"{name}_rounds": " ".join(f"{value:.0f}" for value in values) for name, values in rates.items()}
    return Result(
        name="catch-up",
        figures={"rows": rows} | medians | each | ratios,
        goals={name: (ratio, GOALS[name], ratio >= GOALS[name]) for name, ratio in ratios.items()},
    )


def topics_read(settings: Settings, store: StoreName) -> list[str]:
    """The topics that a store's projector reads."""
    read = registry.load(settings.models).of_store(store).tables
    tables = [table for table in captured_tables(settings) if table.mirror in read]
    prefix = settings.topic_prefix
    return [*topics_of(prefix, tables), transaction_topic(prefix), message_topic(prefix)]


def backlog_of(settings: Settings) -> tuple[int, list[str]]:
    """How many records the tables' topics hold, and all topics that a projector reads."""
    tables = topics_of(settings.topic_prefix, captured_tables(settings))
    with closing(KafkaPythonReader(settings.kafka)) as reader:
        partitions = [partition for topic in tables for partition in reader.partitions(topic)]
        if sum(backlog.await_end(reader, partitions).values()) < _ROWS:
            backlog.prepare(settings)
            backlog.make(settings, _ORDERS)
        rows = sum(backlog.await_end(reader, partitions).values())
    return rows, [*tables, transaction_topic(settings.topic_prefix), message_topic(settings.topic_prefix)]


def _projection(settings: Settings, reader: str) -> float:
    """Changes per second."""
    with database(settings, _DATABASE) as dsn:
        chosen = settings.model_copy(update={"serving_dsn": SecretStr(dsn), "reader": reader})
        changes, seconds = child(chosen, "projection", "serving", position_of(settings))
        _require_equal(settings, dsn, _STORE)
    return changes / seconds


def _replay(settings: Settings) -> float:
    """Changes per second."""
    with database(settings, _DATABASE) as dsn:
        chosen = settings.model_copy(update={"serving_dsn": SecretStr(dsn)})
        changes, seconds = child(chosen, "projection", "replay", position_of(settings))
        _require_equal(settings, dsn, _MIRROR)
    return changes / seconds


def position_of(settings: Settings) -> str:
    """The source's position now."""
    assert settings.admin_dsn is not None and settings.source_dsn is not None
    with psycopg.connect(settings.source_dsn.get_secret_value()) as source:
        # Everything was sent already, and pulses lead the stream past it.
        [position] = source.execute("select pg_current_wal_lsn()::text").fetchone() or [""]
    return position


def _require_equal(settings: Settings, dsn: str, stored: LiteralString) -> None:
    assert settings.source_dsn is not None
    with psycopg.connect(settings.source_dsn.get_secret_value()) as source, psycopg.connect(dsn) as store:
        wanted, found = source.execute(_SOURCE).fetchone(), store.execute(stored).fetchone()
    if wanted != found:
        raise RuntimeError(f"the store holds other orders than the source: {found}, not {wanted}")


def child(settings: Settings, module: str, *arguments: str, cwd: Path | None = None, **environment: str) -> list[float]:
    """The numbers that a module of this package prints."""
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=cwd,
        env=environment_of(settings) | {"PYTHONPATH": root} | environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=_LONGEST_S,
        check=True,
    )
    return [float(number) for number in done.stdout.split()]

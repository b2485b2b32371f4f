"""A projector's own numbers, for Prometheus: base units, labels of few values, and nothing that is done for each change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from cdc.assembler import Transaction
from cdc.partitions import Partition
from projectors.checkpoint import Checkpoint
from projectors.tally import Counts

if TYPE_CHECKING:
    from projectors.tracing import Traces

_APPLY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_FRESH_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0)
#: Transactions of one batch whose latency is noted: of more than these, evenly spaced ones stand for the rest.
_LATENCIES = 100

Kind = tuple[str, str]  # what became of records, and the reason where there is one


class Metrics:
    """One projector's metrics, in a registry of its own; they live as long as the process, through all of its runs."""

    def __init__(self, projector: str) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        label = ("projector",)
        self._records = Counter(
            "readside_projector_records",
            "Records of Kafka that came to an end: applied, parked as dead letters, or ignored for a reason.",
            ("projector", "result", "reason"),
            registry=registry,
        )
        self._projector = projector
        self._apply = Histogram(
            "readside_projector_apply_duration_seconds",
            "Time in which a batch of transactions was applied and committed.",
            label,
            buckets=_APPLY_S,
            registry=registry,
        ).labels(projector)
        self._latency = Histogram(
            "readside_projector_end_to_end_latency_seconds",
            "From a transaction's commit at the source, by its clock, to its commit in the store.",
            label,
            buckets=_FRESH_S,
            registry=registry,
        ).labels(projector)

        def gauge(name: str, meaning: str, value: Callable[[], float] | None = None) -> Gauge:
            made = Gauge(f"readside_projector_{name}", meaning, label, registry=registry).labels(projector)
            if value is not None:
                made.set_function(value)
            return made

        self._applied = gauge("last_applied_timestamp_seconds", "When the store last committed a batch.")
        self._commit = gauge("source_commit_timestamp_seconds", "Commit time at the source of what the store shows.")
        self._position = gauge("position_bytes", "End of the last applied transaction in the source's WAL.")
        self._letters = gauge("dead_letters", "Changes that are parked now.")
        self._streaming = gauge("streaming", "1 while the stream is followed, 0 before a first snapshot is loaded.")
        gauge("lag_seconds", "Age of what the store shows; pulses keep it low while nothing is written.", self._lag)
        gauge("buffered_changes", "Changes read from Kafka that wait for their transaction.", lambda: self._buffered())
        self.traces = _traces_of(projector)  #: they are told of the same batches
        self._committed_us: int | None = None
        self._buffered: Callable[[], float] = lambda: 0.0
        self._seen: Mapping[Kind, int] = {}
        for result in ("applied", "parked"):  # so that the first scrape shows zeros, not gaps
            self._records.labels(projector, result, "")

    def begun(self, checkpoint: Checkpoint, counts: Mapping[Partition, Counts], buffered: Callable[[], int]) -> None:
        """A run begins at a store's checkpoint, with its counts; ``buffered`` tells what waits, and is called at scrapes."""
        self._seen, self._buffered = _totals(counts), buffered
        self._stands(checkpoint)
        self._letters.set(_parked(counts))

    def applied(self, transactions: Sequence[Transaction], checkpoint: Checkpoint, began: float) -> None:
        """A batch has been committed, or a snapshot; ``began`` by ``time.perf_counter``."""
        now = time.time()
        if self.traces is not None:
            self.traces.applied(transactions, began, checkpoint.end_lsn)
        self._apply.observe(time.perf_counter() - began)
        for transaction in transactions[:: max(1, len(transactions) // _LATENCIES)]:
            if transaction.changes:  # a pulse is nobody's write
                self._latency.observe(max(0.0, now - transaction.committed_us / 1e6))
        self._applied.set(now)
        self._stands(checkpoint)
        if checkpoint.parked:
            self._records.labels(self._projector, "parked", "").inc(len(checkpoint.parked))
        if checkpoint.counts:  # once a second, by default
            self._count(checkpoint.counts)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def _stands(self, checkpoint: Checkpoint) -> None:
        self._committed_us = checkpoint.committed_us
        self._commit.set((checkpoint.committed_us or 0) / 1e6)
        self._position.set(checkpoint.end_lsn)
        self._streaming.set(checkpoint.phase == "streaming")

    def _count(self, counts: Mapping[Partition, Counts]) -> None:
        # By difference: what a store has counted is taken up at a restart as it was up to a second before, and a counter
        # that falls a little would look to Prometheus as if all of it had come once more.
        totals = _totals(counts)
        for kind, total in totals.items():
            if (more := total - self._seen.get(kind, 0)) > 0:
                self._records.labels(self._projector, *kind).inc(more)
        self._seen = totals
        self._letters.set(_parked(counts))

    def _lag(self) -> float:
        return 0.0 if self._committed_us is None else max(0.0, time.time() - self._committed_us / 1e6)


def _traces_of(projector: str) -> Traces | None:
    if "opentelemetry.sdk.trace" not in sys.modules:  # nobody would record them: not even the import is paid for
        return None
    from projectors.tracing import Traces

    return Traces(projector)


def _totals(counts: Mapping[Partition, Counts]) -> Mapping[Kind, int]:
    totals: dict[Kind, int] = {}
    for of in counts.values():
        totals["applied", ""] = totals.get(("applied", ""), 0) + of.applied
        for reason, count in of.ignored.items():
            totals["ignored", reason] = totals.get(("ignored", reason), 0) + count
    return totals


def _parked(counts: Mapping[Partition, Counts]) -> int:
    return sum(of.parked for of in counts.values())

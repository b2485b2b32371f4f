"""The writer's own numbers, for Prometheus: base units, and labels of few values only."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector, generate_latest

from writer.transaction import Pool

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """One server's metrics, in a registry of its own."""

    def __init__(self, pool: Pool) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._duration = Histogram(
            "readside_writer_request_duration_seconds",
            "Time from a request's arrival to the end of its answer.",
            ("method", "route", "status"),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        connections = Gauge(
            "readside_writer_connections",
            "Connections to the write database.",
            ("state",),
            registry=self._registry,
        )
        connections.labels("open").set_function(lambda: pool.get_stats().get("pool_size", 0))
        connections.labels("free").set_function(lambda: pool.get_stats().get("pool_available", 0))
        connections.labels("awaited").set_function(lambda: pool.get_stats().get("requests_waiting", 0))

    def served(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request has been answered."""
        self._duration.labels(method, route, str(status)).observe(seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

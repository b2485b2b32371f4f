"""The whole pipeline as Prometheus sees it: what the look that all share finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from queries.pipeline import Health, State

STATES: tuple[str, ...] = get_args(State)
#: What PostgreSQL says of a slot's WAL; pg_replication_slots.wal_status.
WAL_STATUSES = ("reserved", "extended", "unreserved", "lost")
#: By metric of the slot, its figure of the capture hop, its meaning, and what one of its units is of the metric's.
_SLOT = {
    "retained_bytes": ("retained_bytes", "WAL that the server keeps for the slot.", 1.0),
    "unconfirmed_bytes": ("unconfirmed_bytes", "WAL written since what the connector has confirmed.", 1.0),
    "safe_wal_size_bytes": ("safe_bytes", "WAL that may still be written before the slot is lost.", 1.0),
    "free_disk_bytes": ("free_bytes", "Room on the disk of the captured database, where it is of this machine.", 1.0),
    "wal_bytes_per_second": ("wal_rate_bytes_per_s", "WAL that the captured database writes.", 1.0),
    "time_to_full_seconds": ("time_to_full_s", "Until there is no room for WAL, if it piles up on as it did.", 1.0),
    "clock_ahead_seconds": (
        "clock_ahead_ms",
        "How far the captured database's clock is ahead of this machine's.",
        0.001,
    ),
}


class Pipeline(Collector):
    """Collects from the latest look. What is not known has no sample."""

    def __init__(self, look: Callable[[], Health]) -> None:
        """``look``: what was seen lately."""
        self._look = look
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        health = self._look()
        yield _states("component", "A process of the stack", [(each.name, each.state) for each in health.components])
        yield _states("hop", "A step of the data's way", [(each.name, each.state) for each in health.hops])
        yield _gauge(
            "readside_component_restarts",
            "Restarts by the native stack's supervisor.",
            ["component"],
            [((each.name,), each.restarts) for each in health.components],
        )
        for name, meaning, of in (
            ("lag_seconds", "Age of what a store shows while it is behind; else 0.", "lag_seconds"),
            ("lag_changes", "Changes in Kafka that a store has not read.", "lag_changes"),
            ("changes_per_second", "Changes that pass, lately.", "rate"),
        ):
            samples = [((hop.name,), getattr(hop, of)) for hop in health.hops]
            yield _gauge(f"readside_hop_{name}", meaning, ["hop"], samples)
        yield from _slot(health)
        yield from _models(health)
        yield from _rebuilds(health)
        yield from _verified(health)
        yield _gauge("readside_dead_letters", "Parked changes, of both stores.", [], [((), health.dead_letters)])
        yield _gauge(
            "readside_health_look_duration_seconds", "How long the look took.", [], [((), health.took_ms / 1000)]
        )


def _slot(health: Health) -> Iterable[Metric]:
    figures = next(hop.figures for hop in health.hops if hop.name == "capture")
    for name, (figure, meaning, unit) in _SLOT.items():
        value = figures.get(figure)
        yield _gauge(
            f"readside_slot_{name}", meaning, [], [((), value * unit if isinstance(value, int | float) else None)]
        )
    if (status := figures.get("wal_status")) is not None:
        samples = [((each,), float(status == each)) for each in WAL_STATUSES]
        yield _gauge("readside_slot_wal_status", "1 for what PostgreSQL says of the slot's WAL.", ["status"], samples)


def _models(health: Health) -> Iterable[Metric]:
    labels, now = ["store", "model"], time.time()
    yield _gauge(
        "readside_model_rows",
        "Rows of a read model; an estimate above some thousands.",
        labels,
        [((model.store, model.name), model.rows) for model in health.models],
    )
    yield _gauge(
        "readside_model_as_of_age_seconds",
        "Age of the source's commit that a read model shows.",
        labels,
        [
            ((model.store, model.name), max(0.0, now - datetime.fromisoformat(model.as_of).timestamp()))
            for model in health.models
            if model.as_of is not None
        ],
    )


def _rebuilds(health: Health) -> Iterable[Metric]:
    """Of next versions that are built beside those that serve."""
    building = [(model.name, model.rebuild) for model in health.models if model.rebuild is not None]
    for name, meaning, of in (
        ("done_rows", "Rows of a read model's next version that are computed.", "done"),
        ("total_rows", "Rows that a read model's next version will have.", "total"),
        ("rows_per_second", "Rows of it that are computed per second.", "rate"),
        ("eta_seconds", "Until its rows are computed.", "eta_seconds"),
    ):
        samples = [((model,), getattr(rebuild, of)) for model, rebuild in building]
        yield _gauge(f"readside_rebuild_{name}", meaning, ["model"], samples)


def _verified(health: Health) -> Iterable[Metric]:
    """Of the background verification: by read model, and by mirrored table as mirror.TABLE."""
    labels = ["store", "model"]
    of = [((one.store, one.name), one) for one in health.verified]
    yield _gauge(
        "readside_verified_timestamp_seconds",
        "When a read model or mirrored table was compared with the source last.",
        labels,
        [(values, datetime.fromisoformat(one.at).timestamp()) for values, one in of],
    )
    yield _gauge(
        "readside_verified_differing_rows",
        "Rows that differed from the source then.",
        labels,
        [(values, one.differences) for values, one in of],
    )
    for name, meaning in (("found", "Rows that were found to differ."), ("repaired", "Rows that are equal again.")):
        family = CounterMetricFamily(f"readside_verified_{name}_rows", meaning, labels=labels)
        for values, one in of:
            family.add_metric(values, getattr(one, name))
        yield family


def _states(kind: str, meaning: str, states: list[tuple[str, State]]) -> Metric:
    samples = [((name, state), float(state == now)) for name, now in states for state in STATES]
    return _gauge(f"readside_{kind}_state", f"{meaning}: 1 for the state it is in.", [kind, "state"], samples)


def _gauge(
    name: str, meaning: str, labels: list[str], samples: Sequence[tuple[tuple[str, ...], float | None]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for values, value in samples:
        if value is not None:
            family.add_metric(values, value)
    return family

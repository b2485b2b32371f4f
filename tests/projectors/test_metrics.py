"""A projector's own metrics: what a batch counts, what a restart does not count again, and the endpoint they are at."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import replace

import httpx
from prometheus_client.parser import text_string_to_metric_families

from cdc.assembler import Transaction
from cdc.change import Change
from cdc.partitions import Partition
from projectors.checkpoint import START, Checkpoint
from projectors.endpoint import answering
from projectors.metrics import Metrics
from projectors.tally import Counts
from stack.ports import free
from tests.databases import eventually

ORDERS: Partition = ("shop.public.orders", 0)


def samples(metrics: Metrics) -> Mapping[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, without the projector's own."""
    return {
        (
            sample.name.removeprefix("readside_projector_"),
            *(v for k, v in sample.labels.items() if k != "projector"),
        ): value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        for value in [sample.value]
    }


def counts(applied: int, parked: int = 0, **ignored: int) -> Mapping[Partition, Counts]:
    return {ORDERS: Counts(read=applied, applied=applied, parked=parked, ignored=dict(ignored))}


def at(applied: Mapping[Partition, Counts], **changes: object) -> Checkpoint:
    told = replace(START, phase="streaming", end_lsn=0x107, committed_us=two_seconds_ago(), counts=applied)
    return replace(told, **changes)  # pyright: ignore[reportArgumentType]


def two_seconds_ago() -> int:
    return time.time_ns() // 1000 - 2_000_000


def transaction(number: int, *, rows: bool = True) -> Transaction:
    change = Change("public.orders", "c", b'{"id":1}', b'{"id":1}', False, None, number, 1, 1, None, 1)
    return Transaction(number, number, two_seconds_ago(), [change] if rows else [])


def test_a_batch_is_counted_with_its_time_and_the_age_of_its_writes() -> None:
    metrics = Metrics("serving")
    metrics.begun(START, {}, lambda: 3)
    metrics.applied([transaction(1), transaction(2, rows=False)], at(counts(5, tombstone=2)), time.perf_counter() - 0.2)
    told = samples(metrics)
    assert told["apply_duration_seconds_count",] == 1 and 0.2 <= told["apply_duration_seconds_sum",] < 5
    assert told["end_to_end_latency_seconds_count",] == 1, "a pulse is nobody's write"
    assert 2 <= told["end_to_end_latency_seconds_sum",] < 60
    assert (told["records_total", "", "applied"], told["records_total", "tombstone", "ignored"]) == (5, 2)
    assert (told["position_bytes",], told["streaming",], told["buffered_changes",]) == (0x107, 1, 3)
    assert 2 <= told["lag_seconds",] < 60


def test_what_was_counted_before_a_restart_is_not_counted_again() -> None:
    metrics = Metrics("serving")
    metrics.begun(START, counts(1_000), lambda: 0)
    metrics.applied([transaction(1)], at(counts(1_003)), time.perf_counter())
    metrics.begun(START, counts(1_001), lambda: 0)  # as its store had it a second before
    metrics.applied([transaction(1)], at(counts(1_004)), time.perf_counter())
    assert samples(metrics)["records_total", "", "applied"] == 3 + 3


def test_a_counter_never_falls() -> None:
    metrics = Metrics("serving")
    metrics.begun(START, {}, lambda: 0)
    metrics.applied([], at(counts(10)), time.perf_counter())
    metrics.applied([], at(counts(9, parked=1)), time.perf_counter())
    told = samples(metrics)
    assert (told["records_total", "", "applied"], told["dead_letters",]) == (10, 1)


def test_a_backlog_costs_no_more_than_some_hundred_observations() -> None:
    metrics = Metrics("serving")
    metrics.begun(START, {}, lambda: 0)
    metrics.applied([transaction(n) for n in range(10_050)], at({}), time.perf_counter())
    assert samples(metrics)["end_to_end_latency_seconds_count",] in range(100, 202)


def test_the_endpoint_tells_them_and_waits_for_an_address_that_is_taken() -> None:
    port = free()[0]
    url = f"http://127.0.0.1:{port}"
    with socket.create_server(("127.0.0.1", port)) as taken, answering(f"127.0.0.1:{port}", Metrics("serving")):
        taken.close()
        with httpx.Client(trust_env=False) as http:
            eventually(lambda: reached(http, url), what="the endpoint has its address")
            assert "readside_projector_lag_seconds" in http.get(f"{url}/metrics").text
            assert (http.get(f"{url}/livez").status_code, http.get(f"{url}/nothing").status_code) == (204, 404)
    with socket.create_server(("127.0.0.1", port)):
        pass  # it is free again


def reached(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(f"{url}/livez").status_code == 204
    except httpx.TransportError:
        return False

"""Ad hoc SQL on the analytics store: any value comes back right, or the statement is refused and told what to change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from projectors.analytics.sql import Refused, Statement, query
from projectors.analytics.store import AnalyticsStore
from projectors.read_model import Declarations


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnalyticsStore]:
    path: Path = tmp_path_factory.mktemp("analytics") / "live.duckdb"
    store = AnalyticsStore(path, (), Declarations(), memory_limit="1GB", shapes={})
    store.open()
    yield store
    store.close()


def rows(store: AnalyticsStore, sql: str) -> list[list[Any]]:
    answer = query(store, Statement(sql=sql, parameters={}, form="json", most_rows=10))
    return json.loads(answer.body)["rows"]


@pytest.mark.parametrize(
    "value",
    [
        *("date '20000-01-01'", "'infinity'::date", "'infinity'::timestamp", "'-infinity'::timestamptz"),
        *("date '0044-03-15 (BC)'", "[date '20000-01-01']", "{'a': [timestamp '20000-01-01']}"),
    ],
)
def test_a_time_that_no_answer_can_hold_is_refused_with_a_way_out(store: AnalyticsStore, value: str) -> None:
    with pytest.raises(Refused, match="cast it to varchar") as refused:
        rows(store, f"select {value} as at")
    assert refused.value.status == 400
    assert rows(store, f"select ({value})::varchar as at") != []


def test_what_python_has_no_type_for_comes_as_it_is_written(store: AnalyticsStore) -> None:
    written = {
        "time '24:00:00'": "24:00:00",
        "timetz '10:00:00+02'": "10:00:00+02",
        "timestamp_ns '2026-01-01 00:00:00.123456789'": "2026-01-01 00:00:00.123456789",
        "interval 1 month": "1 month",
        "'101'::bit": "101",
    }
    assert rows(store, f"select 1 as n, {', '.join(f'{value} as v' for value in written)}") == [[1, *written.values()]]


def test_a_few_rows_that_are_large_are_refused_before_anything_is_made_of_them(store: AnalyticsStore) -> None:
    with pytest.raises(Refused, match="fewer columns or rows") as refused:
        rows(store, "select repeat('x', 40_000_000)")
    assert refused.value.status == 413

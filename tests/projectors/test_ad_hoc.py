"""Ad hoc SQL on the analytics store: any value comes back right, or the statement is refused and told what to change."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from projectors.analytics import connection
from projectors.analytics.sql import Refused, Statement, query
from projectors.analytics.store import AnalyticsStore
from projectors.read_model import Declarations
from tests.databases import eventually


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


_VALUES = {
    "true": True,
    "-7::tinyint": -7,
    "170141183460469231731687303715884105727::hugeint": "170141183460469231731687303715884105727",
    "18446744073709551615::ubigint": 18446744073709551615,
    "1.50::decimal(9, 2)": "1.50",
    "0.1::double": 0.1,
    "'nan'::double": "nan",
    "'-infinity'::float": "-inf",
    "'é'::varchar": "é",
    "'\\x00\\xFF'::blob": "00ff",
    "date '2026-01-31'": "2026-01-31",
    "time '10:00:00.5'": "10:00:00.5",
    "timestamp '2026-01-31 10:00:00.000001'": "2026-01-31T10:00:00.000001",
    "timestamp_s '2026-01-31 10:00:00'": "2026-01-31T10:00:00",
    "timestamptz '2026-01-31 10:00:00+02'": "2026-01-31T08:00:00Z",
    "'2026-07-31 10:00:00 Europe/Brussels'::timestamptz": "2026-07-31T08:00:00Z",
    "timestamptz '2026-01-31 10:00:00+02' at time zone 'Europe/Brussels'": "2026-01-31T09:00:00",
    "'0d1f3b1e-3b1e-4b1e-8b1e-0d1f3b1e3b1e'::uuid": "0d1f3b1e-3b1e-4b1e-8b1e-0d1f3b1e3b1e",
    """'{"a": [1, null]}'::json""": '{"a": [1, null]}',
    "'b'::enum('a', 'b')": "b",
    "[timestamptz '2026-01-01', null]": ["2026-01-01T00:00:00Z", None],
    "{'a': 1.5::decimal(3, 1), 'b': [uuid '0d1f3b1e-3b1e-4b1e-8b1e-0d1f3b1e3b1e']}": {
        "a": "1.5",
        "b": ["0d1f3b1e-3b1e-4b1e-8b1e-0d1f3b1e3b1e"],
    },
    "[1, 2]::int[2]": [1, 2],
    "340282366920938463463374607431768211455::uhugeint": "340282366920938463463374607431768211455",
    "map {'a': 1, 'b': null}": {"a": 1, "b": None},
    "[map {1: 'x'}]": [{"1": "x"}],
    "map {[1]: 'x'}": "{[1]=x}",
    "time_ns '10:00:00.123456789'": "10:00:00.123456789",
    "42::variant": "42",
    "[time '24:00:00']": "['24:00:00']",
    "{'a': timetz '10:00:00+02'}": "{'a': '10:00:00+02'}",
    "[interval 1 month]": "[1 month]",
    "['101'::bit]": "[101]",
    "[timestamp_ns '2026-01-01 00:00:00.123456789']": "['2026-01-01 00:00:00.123456789']",
    "null": None,
}


@pytest.mark.parametrize("value", _VALUES)
def test_every_type_comes_out_of_a_process_that_can_open_nothing(store: AnalyticsStore, value: str) -> None:
    assert rows(store, f"select {value} as v") == [[_VALUES[value]]]


def test_arrow_has_no_number_that_it_would_read_as_another(store: AnalyticsStore) -> None:
    sql = "select 340282366920938463463374607431768211455::uhugeint as v, [18446744073709551616::uhugeint] as w"
    answer = query(store, Statement(sql=sql, parameters={}, form="arrow", most_rows=10))
    with pa.ipc.open_stream(answer.body) as stream:
        assert stream.read_all().to_pylist() == [
            {"v": "340282366920938463463374607431768211455", "w": "[18446744073709551616]"}
        ]


def test_what_arrow_cannot_hold_is_refused(store: AnalyticsStore) -> None:
    with pytest.raises(Refused, match="Arrow") as refused:
        sql = f"select {'[' * 100}1{']' * 100}"
        query(store, Statement(sql=sql, parameters={}, form="arrow", most_rows=10))
    assert refused.value.status == 400


def test_a_few_rows_that_are_large_are_refused_before_anything_is_made_of_them(store: AnalyticsStore) -> None:
    with pytest.raises(Refused, match="fewer columns or rows") as refused:
        rows(store, "select repeat('x', 40_000_000)")
    assert refused.value.status == 413


def test_every_answer_is_one_commit_whole_while_the_store_is_written_and_checkpointed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_LOG_BYTES", 1 << 20)
    path = tmp_path / "live.duckdb"
    store = AnalyticsStore(path, (), Declarations(), memory_limit="100MB", shapes={})
    store.open()
    writing = store.cursor()
    writing.execute(
        "create table lines as select i as id, 0 as commit, repeat('x', 50) as text from range(100_000) r(i)"
    )
    writing.execute("create table commits as select 0 as n")
    stop, shrunk, commits = threading.Event(), 0, 0

    def write() -> None:
        nonlocal shrunk, commits
        while not stop.is_set():
            commits += 1
            writing.execute("begin transaction")
            writing.execute(
                "create or replace temporary table staged as select id, $n as commit, text || $n as text from lines "
                "where id % 50 = $n % 50 or id > 99_900",
                {"n": commits},
            )
            writing.execute("delete from lines using staged s where lines.id = s.id")
            writing.execute("insert into lines select * from staged")
            writing.execute("delete from commits")
            writing.execute("insert into commits values ($n)", {"n": commits})
            writing.execute("commit")
            before = log.stat().st_size if log.exists() else 0
            connection.checkpoint_if_due(writing, path, store.confinement)
            shrunk += before > (log.stat().st_size if log.exists() else 0)

    def ask(_number: int) -> list[list[Any]]:
        sql = "select count(*), count(distinct id), sum(id), max(commit), (select n from commits) from lines"
        return rows(store, sql)

    log = path.with_name(path.name + ".wal")
    thread = threading.Thread(target=write)
    thread.start()
    with ThreadPoolExecutor(2) as asking:
        answers = list(asking.map(ask, range(60)))
    stop.set()
    thread.join()
    store.close()
    assert all(answer[0][:3] == [100_000, 100_000, "4999950000"] for answer in answers), answers
    assert all(answer[0][3] == answer[0][4] for answer in answers)
    seen = {answer[0][4] for answer in answers}
    assert len(seen) > 5 and shrunk >= 2, (len(seen), commits, shrunk)


def test_a_store_that_is_closed_ends_what_still_reads_it(tmp_path: Path) -> None:
    store = AnalyticsStore(tmp_path / "live.duckdb", (), Declarations(), memory_limit="100MB", shapes={})
    store.open()
    with ThreadPoolExecutor(1) as asking:
        endless = asking.submit(rows, store, "select count(*) from range(1_000_000_000) a, range(1_000_000_000) b")
        eventually(lambda: store.confinement._pids, what="it runs")
        store.close()
        with pytest.raises(Refused, match="closed") as refused:
            endless.result(5)
    assert refused.value.status == 503


def test_what_the_projector_put_into_a_temporary_file_is_no_fault_of_the_statement(tmp_path: Path) -> None:
    path = tmp_path / "live.duckdb"
    store = AnalyticsStore(path, (), Declarations(), memory_limit="40MB", shapes={})
    store.open()
    writing = store.cursor()
    writing.execute("create table lines (id bigint, text varchar)")
    for _ in range(8):
        writing.execute("insert into lines select i, md5(i::varchar) || md5((i + 1)::varchar) from range(100_000) r(i)")
    with pytest.raises(Refused, match="temporary file") as refused:
        rows(store, "select count(*), max(text) from lines")
    assert refused.value.status == 503
    connection.checkpoint_if_due(writing, path, store.confinement)
    assert rows(store, "select count(*), count(text) from lines") == [[800_000, 800_000]]
    store.close()

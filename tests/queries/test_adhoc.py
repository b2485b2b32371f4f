"""The route for ad hoc SQL, on a real store behind its projector's endpoint: every form says the same."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from config.settings import Settings
from projectors.analytics.server import serving
from projectors.analytics.store import AnalyticsStore
from projectors.checkpoint import Checkpoint
from projectors.read_model import Declarations
from tests.queries.harness import Api

AS_OF = "2026-01-05T00:00:00.000000Z"
QUESTION = {"sql": "select $a::int as n, 'x,\"y\"' as t, '' as e, null as z, true as b", "parameters": {"a": 7}}


@pytest.fixture(autouse=True)
def store(tmp_path: Path, settings: Settings) -> Iterator[AnalyticsStore]:
    path = tmp_path / "live.duckdb"
    store = AnalyticsStore(path, (), Declarations(), memory_limit="192MB", shapes={})
    store.open()
    at = Checkpoint(
        phase="streaming",
        end_lsn=0x100,
        committed_us=1_767_571_200_000_000,
        changes=0,
        rate=0.0,
        state={"frontier": {}},
    )
    store.load([], lambda: at)
    with serving(settings, store):
        yield store
    store.close()


def asked(api: Api, accept: str, sql: str = "") -> httpx.Response:
    question = {"sql": sql} if sql else QUESTION
    return api.http.post("/sql", json=question, headers={"Accept": accept})


def test_json_is_what_a_reader_gets_who_asks_for_nothing(api: Api) -> None:
    for accept in ("", "*/*", "application/json, text/csv", "image/png"):
        answer = asked(api, accept)
        assert answer.headers["Content-Type"] == "application/json"
        said = answer.json()
        assert (said["columns"], said["rows"]) == (["n", "t", "e", "z", "b"], [[7, 'x,"y"', "", None, True]])
        assert (said["row_count"], said["truncated"], said["end_lsn"]) == (1, False, "0/100")
        assert answer.headers["Readside-As-Of"] == AS_OF


def test_csv_tells_null_from_an_empty_text(api: Api) -> None:
    answer = asked(api, "text/csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.text == 'n,t,e,z,b\r\n7,"x,""y""","",,true\r\n'
    assert (answer.headers["Readside-Truncated"], answer.headers["Readside-As-Of"]) == ("false", AS_OF)


def test_arrow_keeps_every_type(api: Api) -> None:
    sql = "select 1::bigint as n, 1.50::decimal(9, 2) as d, timestamptz '2026-01-01' as t, [1, 2] as l, null::int as z"
    answer = asked(api, "application/vnd.apache.arrow.stream", sql)
    assert answer.headers["Content-Type"] == "application/vnd.apache.arrow.stream"
    assert (answer.headers["Readside-Truncated"], answer.headers["Readside-As-Of"]) == ("false", AS_OF)
    table = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()
    assert table.schema.types[:2] == [pa.int64(), pa.decimal128(9, 2)]
    (row,) = table.to_pylist()
    assert (row["n"], row["d"], row["t"].isoformat(), row["l"], row["z"]) == (
        *(1, Decimal("1.50"), "2026-01-01T00:00:00+00:00", [1, 2], None),
    )


COUNTS: dict[str, Callable[[httpx.Response], int]] = {
    "application/json": lambda answer: answer.json()["row_count"],
    "text/csv": lambda answer: answer.text.count("\r\n") - 1,
    "application/vnd.apache.arrow.stream": lambda answer: pa.ipc.open_stream(answer.content).read_all().num_rows,
}


@pytest.mark.parametrize("accept", COUNTS)
def test_rows_are_cut_off_and_it_is_said(api: Api, settings: Settings, accept: str) -> None:
    for rows, cut in ((settings.sql_rows, "false"), (settings.sql_rows + 1, "true")):
        answer = asked(api, accept, f"select i from range({rows}) r(i)")
        assert (answer.status_code, answer.headers["Readside-Truncated"]) == (200, cut)
        assert COUNTS[accept](answer) == settings.sql_rows


def test_a_refusal_is_a_problem_in_whatever_form_was_asked_for(api: Api) -> None:
    for accept in ("application/json", "text/csv", "application/vnd.apache.arrow.stream"):
        answer = asked(api, accept, "selec 1")
        assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
        assert answer.json()["type"] == "/problems/invalid-statement"


def test_who_finds_no_place_is_told_when_to_come_again(api: Api, store: AnalyticsStore) -> None:
    with ExitStack() as held:
        for _ in range(store.confinement.limits.at_once):
            held.enter_context(store.confinement._places)
        answer = asked(api, "*/*", "select 1")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert asked(api, "*/*", "select 1").status_code == 200

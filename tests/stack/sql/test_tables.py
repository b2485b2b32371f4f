"""Rows as a person sees them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stack.sql.asking import Freshness, Rows
from stack.sql.pointing import pointed
from stack.sql.tables import markdown, table
from stack.sql.visible import json_visible, visible

HOSTILE = "a\x1b[2J\x9bm\u202eb\x7f\r\n\tc"


def answer(columns: dict[str, str | None], *rows: list[Any]) -> Rows:
    types = None if None in columns.values() else [kind or "" for kind in columns.values()]
    fresh = Freshness(as_of=None, lag_ms=None)
    return Rows(columns=list(columns), types=types, rows=list(rows), truncated=False, freshness=fresh, body={})


def shown(rows: Rows, width: int | None = None, most_rows: int | None = None) -> list[str]:
    return [line.plain for line in table(rows, width=width, most_rows=most_rows).lines]


def test_numbers_stand_right_and_nothing_is_rounded() -> None:
    rows = answer(
        {"n": "BIGINT", "total": "DECIMAL(12,2)", "at": "TIMESTAMP WITH TIME ZONE", "ok": "BOOLEAN"},
        [1, "10.10", "2026-01-02T00:00:00.500000Z", True],
        [123456789012345678901234567890, "1099.00", "2026-01-01T23:30:00Z", None],
    )
    assert shown(rows) == [
        "                             n    total  at                           ok",
        "──────────────────────────────  ───────  ───────────────────────────  ────",
        "                             1    10.10  2026-01-02T00:00:00.500000Z  true",
        "123456789012345678901234567890  1099.00  2026-01-01T23:30:00Z         NULL",
    ]


def test_numbers_are_known_by_themselves_when_the_server_says_no_types() -> None:
    rows = answer({"number": None, "text": None}, [1, "1"], [None, "22"])
    assert shown(rows)[2:] == ["     1  1", "  NULL  22"]


def test_a_list_of_numbers_is_no_number() -> None:
    rows = answer({"list": "DECIMAL(12,2)[]", "small": "UTINYINT"}, [["1.00"], 7], [[], 10])
    assert shown(rows)[2:] == ['["1.00"]      7', "[]           10"]


def test_null_is_seen_and_no_empty_text() -> None:
    found = table(answer({"a": "VARCHAR", "b": "INTEGER"}, [None, 1], ["", 2], ["NULL", 3]), width=None)
    null, empty, text = found.lines[2:]
    assert [line.plain for line in (null, empty, text)] == ["NULL  1", "      2", "NULL  3"]
    assert [str(span.style) for span in null.spans if span.style] == ["dim"]
    assert not [span for span in text.spans if span.style]


@pytest.mark.parametrize("columns", [{"a": "VARCHAR"}, {HOSTILE: "VARCHAR"}])
def test_no_value_and_no_name_moves_the_cursor(columns: dict[str, str | None]) -> None:
    rows = answer(columns, [HOSTILE], [[HOSTILE]], [{HOSTILE: 1}])
    for text in (*shown(rows), *markdown(rows).splitlines()):
        assert text.isprintable(), text
    assert visible(HOSTILE) == r"a\x1b[2J\x9bm\u202eb\x7f\r\n\tc"
    assert visible("Zoë 李 👩‍💻") == "Zoë 李 👩‍💻"


def test_json_on_a_terminal_is_the_same_value() -> None:
    value = {HOSTILE: [HOSTILE, "é", "\U000e0001"]}
    text = json_visible(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert text.isprintable()
    assert "é" in text


def test_wide_values_count_in_cells() -> None:
    assert shown(answer({"a": "VARCHAR", "b": "VARCHAR"}, ["李李", "x"], ["abcd", "y"]))[2:] == ["李李  x", "abcd  y"]


def test_a_wide_table_is_cut_in_its_text_and_then_in_its_columns() -> None:
    rows = answer(
        {"id": "BIGINT", "text": "VARCHAR", "at": "DATE", "last": "VARCHAR"}, [1, "x" * 50, "2026-01-01", "y" * 20]
    )
    found = table(rows, width=50)
    assert [line.plain for line in found.lines] == [
        "id  text              at          last",
        "──  ────────────────  ──────────  ────────────────",
        " 1  xxxxxxxxxxxxxxx…  2026-01-01  yyyyyyyyyyyyyyy…",
    ]
    assert found.cut == "shortened: text, last"
    narrow = table(rows, width=30)
    assert [line.plain for line in narrow.lines][2] == " 1  xxxxxxxxxxxxx…  2026-01-01"
    assert narrow.cut == "3 of 4 columns fit in 30 characters, without last; shortened: text"
    for width in range(1, 120):
        for line in table(rows, width=width).lines:
            assert len(line.plain) <= max(width, 2)  # a number is not shortened
    assert table(rows, width=120).cut is None


def test_a_long_table_says_how_many_rows_there_are() -> None:
    found = table(answer({"a": "BIGINT"}, *([number] for number in range(5))), width=80, most_rows=2)
    assert len(found.lines) == 2 + 2
    assert found.cut == "the first 2 of 5 rows"


def test_markdown_escapes_what_would_end_a_cell() -> None:
    assert markdown(answer({"a|b": "BIGINT", "c": "VARCHAR"}, [1, "x|y\nz"])) == (
        "| a\\|b | c |\n| --: | --- |\n| 1 | x\\|y\\nz |\n"
    )


def test_a_caret_where_duckdb_names_the_thing_and_it_is_there_once() -> None:
    said = 'Binder Error: Referenced column "totl" not found in FROM clause!\nCandidate bindings: "total"'
    assert (
        pointed(said, "select id,\n  totl -- totl\nfrom orders") == f"{said}\n\nLINE 2:   totl -- totl\n          ^^^^"
    )
    assert pointed(said, "select totl, totl from orders") == said
    assert pointed(said, "select 'totl'") == said
    own = "Parser Error: syntax error\n\nLINE 1: totl\n        ^"
    assert pointed(own, "totl") == own
    long = pointed(said, "select " + "x, " * 200 + "totl").splitlines()
    assert long[-2][long[-1].index("^") :] == "totl"
    assert len(long[-2]) < 120

"""Where statements end: as DuckDB itself sees it, whatever stands in quotations and comments."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.sql.prompt import is_finished, typed_pieces
from stack.sql.scanning import Command, Statement, is_ended, is_whole, pieces

VALUES = (
    *(
        "1",
        "(1)",
        "'a;b'",
        "'it''s;'",
        "''",
        r"E'a\';b'",
        r"e'\\'",
        '1 as "x;""y"',
        "$$a;'b$$",
        "$t$a;$$;$t$",
        "[1, 2][1]",
    ),
    *("1 as a$b$", "{'k': ';'}", "'--;'", "'/*'", "2.5e3", "'é;'"),
)
SPACE = (" ", "\n", "-- ;'\n", "/* ; ' */", "/* /* ; */ ; */", "\t")


def texts(text: str) -> list[str]:
    return [piece.text for piece in pieces(text)]


statement = st.builds(
    lambda values, spaces: (
        "select" + "".join(f"{space} {value}{space}," for value, space in zip(values, spaces, strict=False))[:-1]
    ),
    st.lists(st.sampled_from(VALUES), min_size=1, max_size=4),
    st.lists(st.sampled_from(SPACE), min_size=4, max_size=4),
)


@settings(deadline=None)
@given(st.lists(statement, min_size=1, max_size=4), st.booleans())
def test_statements_end_where_duckdb_says(statements: list[str], ended: bool) -> None:
    text = ";".join(statements) + (";" if ended else "")
    with duckdb.connect() as database:
        assert len(database.extract_statements(text)) == len(statements)
        assert texts(text) == [each.strip() for each in statements]
        for each in texts(text):
            assert len(database.extract_statements(each)) == 1
    assert is_ended(text) == ended
    assert is_whole(text)


@pytest.mark.parametrize(
    "open_text", ["select 'a;", 'select "a;', "select $$a;", "/* ; /* */", r"select E'a\';", "select (1;"]
)
def test_what_is_still_open_is_not_whole(open_text: str) -> None:
    assert not is_whole(open_text)


def test_what_is_being_typed_is_never_looked_at_for_long() -> None:
    for text in ("E'" + "a" * 200 + "\\", "'" * 5001, "/*" * 5000, "(" * 5000):
        assert not is_whole(text)


def test_a_quotation_that_stays_open_holds_all_that_follows() -> None:
    assert texts("select 1; select 'a; select 2;") == ["select 1", "select 'a; select 2;"]


def test_nothing_and_comments_are_no_statement() -> None:
    assert texts(" ;; -- select 1;\n /* ; */ ; ") == []
    assert texts("-- first\nselect 1; -- last") == ["-- first\nselect 1"]


def test_a_command_is_a_line_where_a_statement_could_begin() -> None:
    assert list(pieces("select 1; -- why\n\\d orders\n\\timing\nselect '\n\\d'")) == [
        Statement("select 1", True),
        Command("d orders"),
        Command("timing"),
        Statement("select '\n\\d'", False),
    ]


def test_enter_runs_what_is_ended_or_whole_before_an_empty_line() -> None:
    def enter(text: str) -> bool:
        return is_finished(text, text)

    assert all(map(enter, ("", "select 1;", "select 1; -- x", "select 1\n", "\\d", "-- a\n\\d", "exit", "select ';';")))
    assert not any(map(enter, ("select 1", "select ';", "select ';\n", "select (\n", "select 1; select 2", "/* ;\n")))
    assert not is_finished("select 1\n\nfrom a", "select 1\n")  # an empty line in the middle, while it is edited
    assert is_finished("select\n1;", "select\n")


def test_words_that_people_type_first_are_commands() -> None:
    assert typed_pieces("exit") == typed_pieces(" QUIT; ") == [Command("q")]
    assert typed_pieces("help") == [Command("?")]

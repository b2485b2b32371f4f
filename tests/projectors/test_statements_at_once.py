"""Several statements on DuckDB in one call, whatever the author's own SQL ends with."""

from __future__ import annotations

from contextlib import closing

import duckdb
import pytest

from projectors.analytics.connection import Connection
from projectors.analytics.quiet import Quiet


@pytest.mark.parametrize("end", ["", " -- one row per day", ";", "; -- one row per day"])
def test_a_query_may_end_with_a_comment_or_a_semicolon(end: str) -> None:
    with closing(Connection(duckdb.connect(), Quiet())) as store:
        store.execute_all(f"create table days as select 1 as day{end}", "insert into days values (2)")
        assert store.execute("select day from days order by day").fetchall() == [(1,), (2,)]


def test_nothing_behind_one_that_fails_is_run() -> None:
    with closing(Connection(duckdb.connect(), Quiet())) as store:
        store.execute("create table days (day int not null)")
        with pytest.raises(duckdb.ConstraintException):
            store.execute_all(
                "insert into days values (1)", "insert into days values (null)", "insert into days values (3)"
            )
        assert store.execute("select day from days").fetchall() == [(1,)]


def test_none_is_no_call() -> None:
    with closing(Connection(duckdb.connect(), Quiet())) as store:
        store.execute_all()

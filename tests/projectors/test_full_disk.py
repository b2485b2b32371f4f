"""The analytics store without room on the disk or in memory: it fails as the projector does, and nothing is lost."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cdc.errors import Fatal
from projectors.analytics import connection
from projectors.analytics.store import AnalyticsStore
from projectors.read_model import Declarations


@contextmanager
def no_room_beyond(size: int) -> Generator[None]:
    """Files of this process do not grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_commit_that_cannot_be_written_stops_the_projector_and_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "live.duckdb"
    store = AnalyticsStore(path, (), Declarations(), memory_limit="100MB", shapes={})
    store.open()
    with no_room_beyond(1 << 20), pytest.raises(Fatal, match="analytics store refused"), store._transaction():
        store._connection.execute_all(
            "create table lines as select i, md5(i::varchar) as text from range(100_000) r(i)"
        )
    store.close()
    store.open()
    found = store.cursor().execute("select count(*) from duckdb_tables() where table_name = 'lines'").fetchall()
    assert found == [(0,)]
    store.close()


def test_a_checkpoint_that_cannot_be_written_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_LOG_BYTES", 0)
    path = tmp_path / "live.duckdb"
    store = AnalyticsStore(path, (), Declarations(), memory_limit="100MB", shapes={})
    store.open()
    with store._transaction():
        store._connection.execute_all(
            "create table lines as select i, md5(i::varchar) as text from range(100_000) r(i)"
        )
    with no_room_beyond(1 << 20), pytest.raises(Fatal, match="analytics store refused"):
        store._announce(store.checkpoint)
    store.close()
    store.open()
    assert store.cursor().execute("select count(*), count(text) from lines").fetchall() == [(100_000, 100_000)]
    store.close()


def test_a_log_that_memory_does_not_hold_is_said_with_the_way_out(tmp_path: Path) -> None:
    store = AnalyticsStore(tmp_path / "a" / "live.duckdb", (), Declarations(), memory_limit="200MB", shapes={})
    store.open()
    with store._transaction():
        store._connection.execute_all(
            "create table lines as select i, md5(i::varchar) as text from range(1_000_000) r(i)"
        )
    store._connection.execute_all("checkpoint")
    with store._transaction():
        store._connection.execute_all("create index by_i on lines (i)")
    shutil.copytree(tmp_path / "a", tmp_path / "b")  # as it is when its process ends at once
    store.close()
    small = AnalyticsStore(tmp_path / "b" / "live.duckdb", (), Declarations(), memory_limit="4MB", shapes={})
    with pytest.raises(Fatal, match="READSIDE_ANALYTICS_MEMORY"):
        small.open()
    small.close()

"""The published copy: whole, of one moment, readable by others, replaced in one step; and what becomes of failures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from projectors.analytics import copying, publishing
from projectors.analytics.publishing import Publisher
from projectors.analytics.store import AnalyticsStore
from projectors.checkpoint import START
from projectors.read_models import DECLARATIONS
from tests.databases import eventually
from tests.operations import SEED

OF_STORE = DECLARATIONS.of_store("analytics")
TABLES = {declared.name for declared in (*OF_STORE.read_models, *OF_STORE.histories)} | {"_readside"}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "analytics.duckdb"


@pytest.fixture
def publisher(analytics: Any, tmp_path: Path, target: Path) -> Iterator[Publisher]:
    """Publishes what the pipeline's projector commits, each commit that it can."""
    publisher = Publisher(tmp_path / "live.duckdb", target, interval_s=0.001)

    def make(tables: Any, shapes: Any) -> AnalyticsStore:
        models = DECLARATIONS.of_store("analytics")
        path = tmp_path / "live.duckdb"
        return AnalyticsStore(
            path,
            tables,
            models,
            memory_limit="1GB",
            shapes=shapes,
            committed=publisher.committed,
            unpublished=publisher.unpublished,
        )

    analytics._make_store = make
    yield publisher
    publisher.close()


def answer(path: Path, query: str) -> list[Any]:
    """As somebody else's process sees it, while the projector lives: within one, a file is opened once."""
    script = """if True:
        import duckdb, json, sys
        print(json.dumps(duckdb.connect(sys.argv[1], read_only=True).execute(sys.argv[2]).fetchall()))
    """
    seen = subprocess.run([sys.executable, "-c", script, path, query], capture_output=True, text=True, check=True)
    return [tuple(row) for row in json.loads(seen.stdout)]


def await_copy(publisher: Publisher, store: Any, target: Path) -> None:
    """Until the copy is of where the store stands; in life each pulse is an occasion to publish."""

    def current() -> bool:
        publisher.committed(store.checkpoint, store.revision)
        return target.is_file() and answer(target, "select epoch_us(as_of) from _readside") == [
            (store.checkpoint.committed_us,)
        ]

    eventually(current, what="the copy shows where the store stands")


def test_it_is_a_whole_database_while_the_live_one_stays_open(
    analytics: Any, publisher: Publisher, target: Path
) -> None:
    analytics.commit(SEED)
    store = analytics.project()
    try:
        await_copy(publisher, store, target)
        script = (
            "import duckdb, sys; print(duckdb.connect(sys.argv[1], read_only=True).sql('select count(*) from orders'))"
        )
        seen = subprocess.run([sys.executable, "-c", script, str(target)], capture_output=True, text=True, check=True)
        assert "2" in seen.stdout
        described = answer(target, "select table_name, comment from duckdb_tables()")
        assert {name for name, _ in described} == TABLES
        assert all(comment for _, comment in described)
        ((as_of, lsn, offsets),) = answer(
            target, "select epoch_us(as_of), end_lsn, kafka_offsets::varchar from _readside"
        )
        assert as_of == store.checkpoint.committed_us
        assert lsn != "0/0" and ".transaction" in offsets
    finally:
        store.close()


def test_nobody_else_opens_the_live_one_after_it_was_copied(analytics: Any, publisher: Publisher, target: Path) -> None:
    analytics.commit(SEED)
    store = analytics.project()
    try:
        await_copy(publisher, store, target)
        live = str(publisher._live)
        for mode in ("False", "True"):
            script = f"import duckdb, sys; duckdb.connect(sys.argv[1], read_only={mode})"
            opened = subprocess.run([sys.executable, "-c", script, live], capture_output=True, text=True)
            assert "IOException" in opened.stderr and "lock" in opened.stderr
    finally:
        store.close()


def test_a_copy_that_does_not_end_is_given_up(
    tmp_path: Path, target: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_PAUSE_S", 0.2)
    os.mkfifo(tmp_path / "live.duckdb")  # as a disk that does not answer: nobody ever writes into it
    publisher = Publisher(tmp_path / "live.duckdb", target, interval_s=0.001)
    began = time.monotonic()
    publisher.committed(replace(START, phase="streaming"), 1)
    assert time.monotonic() - began < 10
    assert [vars(record).get("reason") for record in caplog.records] == ["it took more than 0.2 s"]
    assert publisher._next_at > time.monotonic(), "the writing thread has some rest from it"
    assert not publisher._busy.locked() and not target.exists()
    publisher.close()


def test_a_copy_that_fails_says_why(tmp_path: Path, target: Path, caplog: pytest.LogCaptureFixture) -> None:
    publisher = Publisher(tmp_path / "live.duckdb", target, interval_s=0.001)
    publisher.committed(replace(START, phase="streaming"), 1)
    assert [vars(record).get("reason") for record in caplog.records] == ["No such file or directory"]
    publisher.close()


def test_readers_of_the_last_one_go_on_and_it_is_kept(analytics: Any, publisher: Publisher, target: Path) -> None:
    analytics.commit(SEED)
    store = analytics.project()
    await_copy(publisher, store, target)
    store.close()
    with duckdb.connect(target, read_only=True) as client:
        assert client.execute("select count(*) from customers").fetchall() == [(3,)]
        analytics.commit(
            "insert into users (id, email, first_name, last_name, display_name) values (9, 'x@y.z', 'A', 'B', 'c')"
        )
        store = analytics.project()
        await_copy(publisher, store, target)
        store.close()
        assert answer(target, "select count(*) from customers") == [(4,)]
        assert client.execute("select count(*) from customers").fetchall() == [(3,)]
    previous = target.with_name("analytics.previous.duckdb")
    assert answer(previous, "select count(*) from customers") == [(3,)]
    assert answer(previous, "select end_lsn from _readside") != answer(target, "select end_lsn from _readside")


def test_it_is_in_the_oldest_format(analytics: Any, publisher: Publisher, target: Path) -> None:
    analytics.commit(SEED)
    analytics.project().close()
    eventually(target.exists, what="a copy is published")
    with duckdb.connect(target, read_only=True) as client:
        ((tags,),) = client.execute("select tags from duckdb_databases() where not internal").fetchall()
    assert str(tags).startswith("{storage_version=v1.0.0") or "v1.0.0" in str(tags), tags


def test_nothing_new_is_not_published_again(analytics: Any, publisher: Publisher, target: Path) -> None:
    analytics.commit(SEED)
    store = analytics.project()
    await_copy(publisher, store, target)
    eventually(lambda: not publisher._busy.locked(), what="it is done")
    first = target.stat().st_ino
    publisher.committed(store.checkpoint, store.revision)
    assert not publisher._busy.locked()
    store.close()
    assert target.stat().st_ino == first


def test_what_is_computed_anew_is_published_although_no_change_came(
    analytics: Any, publisher: Publisher, target: Path
) -> None:
    analytics.commit(SEED)
    store = analytics.project()
    await_copy(publisher, store, target)
    eventually(lambda: not publisher._busy.locked(), what="it is done")
    wrong = "select count(*) from customers where email = 'wrong'"
    with closing(store.cursor()) as cursor:
        cursor.execute("update customers set email = 'wrong'")
    publisher._published, publisher._next_at = None, 0.0
    store._announce(store.checkpoint)
    eventually(lambda: answer(target, wrong) == [(3,)], what="wrong rows are published")
    eventually(lambda: not publisher._busy.locked(), what="it is done")
    publisher._next_at = 0.0
    assert store.rebuilds.ask(["customers"]) and store.attend()
    eventually(lambda: answer(target, wrong) == [(0,)], what="what was computed anew is published")
    store.close()


def test_a_copier_that_cannot_begin_is_told_and_tried_again(
    analytics: Any,
    publisher: Publisher,
    target: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", str(target.with_name("no such program")))
        analytics.commit(SEED)
        store = analytics.project()
        eventually(lambda: not publisher._busy.locked(), what="it is done")
    assert "No such file or directory" in str([vars(record).get("reason") for record in caplog.records])
    publisher._next_at = 0.0
    store._announce(store.checkpoint)
    eventually(target.is_file, what="it is published after all")
    store.close()


def test_a_failure_is_told_and_tried_again(
    analytics: Any, publisher: Publisher, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target.mkdir()  # cannot be replaced by a file
    analytics.commit(SEED)
    store = analytics.project()
    eventually(lambda: "was not published" in caplog.text, what="the failure is told")
    eventually(lambda: not publisher._busy.locked(), what="it is done")
    target.rmdir()
    publisher._next_at = 0.0
    publisher.committed(store.checkpoint, store.revision)
    eventually(target.is_file, what="it is published after all")
    store.close()


def test_copies_are_made_by_one_process_and_by_another_when_it_was_killed(
    analytics: Any, publisher: Publisher, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    analytics.commit(SEED)
    store = analytics.project()
    await_copy(publisher, store, target)
    eventually(lambda: not publisher._busy.locked(), what="it is done")
    copier = publisher._copier._process
    assert copier is not None
    analytics.commit("update orders set version = version + 1")
    store.close()
    store = analytics.project()
    await_copy(publisher, store, target)
    eventually(lambda: not publisher._busy.locked(), what="it is done")
    assert publisher._copier._process is copier and copier.poll() is None
    copier.kill()
    analytics.commit("update orders set version = version + 1")
    store.close()
    store = analytics.project()
    eventually(lambda: "exit code -9" in str([vars(r).get("reason") for r in caplog.records]), what="its end is told")
    publisher._next_at = 0.0
    await_copy(publisher, store, target)
    store.close()
    publisher.close()
    assert publisher._copier._process is None


def test_before_the_first_snapshot_there_is_none(publisher: Publisher, target: Path) -> None:
    publisher.committed(START, 1)
    assert not publisher._busy.locked() and not target.exists()


def test_the_child_leaves_an_old_copy_alone_when_its_own_is_broken(tmp_path: Path, target: Path) -> None:
    target.write_bytes(b"the last one")
    broken = tmp_path / "broken.duckdb"
    broken.write_bytes(b"no database at all" * 1000)
    with pytest.raises(duckdb.Error):
        copying.publish(broken, target)
    assert target.read_bytes() == b"the last one"

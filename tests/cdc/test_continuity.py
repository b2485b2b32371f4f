"""Whether a slot sends on where Kafka's records end: what real databases and slots say after each kind of trouble."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from cdc.continuity import Source, read_source, require_unbroken, timeline_history
from cdc.control import Snapshot
from cdc.errors import HistoryLost, SourceChanged
from stack import postgres as server
from stack.ports import free
from stack.process import stop
from tests.databases import eventually

SLOT = "watched"


class Captured:
    """A database with a slot, and what Kafka would hold of it: the snapshot's note, and all that was written so far."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.connection = psycopg.connect(dsn, autocommit=True, options="-c synchronous_commit=on")
        self.sql = self.connection.execute

    def begin(self) -> None:
        self.sql("create table if not exists t (n int)")
        self.make_slot()
        found = self.look()
        self.snapshot = Snapshot(found.system_identifier, found.database, SLOT, {}, {}, timeline=found.timeline)
        self.ended = self.write()

    def make_slot(self) -> None:
        self.sql("select pg_create_logical_replication_slot(%s, 'pgoutput')", [SLOT])

    def look(self) -> Source:
        return read_source(self.connection, SLOT)

    def write(self) -> int:
        """A transaction; gives an LSN behind it."""
        self.sql("insert into t values (1)")
        return self.look().flushed

    def require_unbroken(self, found: Source | None = None, *, sent: int = 0) -> None:
        found = found or self.look()
        require_unbroken(
            found,
            self.snapshot,
            before=self.ended,
            ended=self.ended,
            sent=lambda: [sent],
            history=lambda: timeline_history(self.dsn, found.timeline),
        )


@pytest.fixture
def captured(store_database: str) -> Iterator[Captured]:
    captured = Captured(store_database)
    captured.begin()
    yield captured
    captured.connection.close()


def test_a_slot_left_alone_is_in_order_however_much_was_written_meanwhile(captured):
    captured.write()
    captured.require_unbroken()


def test_a_slot_that_confirmed_exactly_what_kafka_holds_is_in_order(captured):
    captured.sql("select pg_replication_slot_advance(%s, '0/0'::pg_lsn + %s::numeric)", [SLOT, captured.ended])
    captured.require_unbroken()


def test_a_slot_inside_a_transaction_that_kafka_holds_in_part_is_in_order(captured):
    captured.require_unbroken(replace(captured.look(), confirmed=captured.ended + 50), sent=captured.ended + 50)


def test_a_look_while_the_connector_runs_is_in_order(captured):
    found, before = captured.look(), captured.ended
    confirmed = captured.write()
    require_unbroken(
        replace(found, confirmed=before), captured.snapshot, before=before, ended=confirmed, sent=list, history=list
    )


def test_a_slot_that_somebody_else_moved_on_is_history_lost(captured):
    captured.write()
    captured.sql("select pg_replication_slot_advance(%s, pg_current_wal_lsn())", [SLOT])
    with pytest.raises(HistoryLost, match=r"begins at .* made anew or moved on .*python -m cdc snapshot"):
        captured.require_unbroken()


def test_a_slot_made_anew_is_history_lost(captured):
    captured.sql("select pg_drop_replication_slot(%s)", [SLOT])
    captured.write()
    captured.make_slot()
    with pytest.raises(HistoryLost, match="made anew"):
        captured.require_unbroken()


def test_a_slot_that_is_gone_is_history_lost(captured):
    captured.sql("select pg_drop_replication_slot(%s)", [SLOT])
    with pytest.raises(HistoryLost, match="slot watched is gone"):
        captured.require_unbroken()


def test_a_slot_whose_wal_was_removed_is_history_lost(captured):
    captured.sql("alter system set max_slot_wal_keep_size = '1MB'")
    captured.sql("select pg_reload_conf()")
    try:
        for _ in range(4):
            captured.write()
            captured.sql("select pg_switch_wal()")
        captured.sql("checkpoint")
        with pytest.raises(HistoryLost, match="slot watched is lost"):
            captured.require_unbroken()
    finally:
        captured.sql("alter system reset max_slot_wal_keep_size")
        captured.sql("select pg_reload_conf()")


def test_another_database_of_the_same_cluster_is_another_source(captured):
    with pytest.raises(SourceChanged, match="another PostgreSQL cluster or database"):
        captured.require_unbroken(replace(captured.look(), database="elsewhere"))


def test_another_cluster_is_another_source(captured):
    with pytest.raises(SourceChanged, match="another PostgreSQL cluster or database"):
        captured.require_unbroken(replace(captured.look(), system_identifier=7))


class Cluster:
    """A PostgreSQL of the test's own, to be stopped, copied, restored and promoted."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "log"
        self.cluster = server.Cluster(
            binaries=server.find_binaries(),
            directory=directory / "postgres",
            address=f"127.0.0.1:{free()[0]}",
            password=secrets.token_hex(8),
            user=server.unprivileged_user(),
            settings={"fsync": "off"},
        )
        self.process: subprocess.Popen[bytes] | None = None
        server.initialise(self.cluster)

    def start(self) -> Captured:
        self.process = server.start(self.cluster, self.log)
        eventually(lambda: server.ready(self.cluster), what="PostgreSQL starts")
        return Captured(self.cluster.dsn())

    def stop(self, captured: Captured | None = None) -> None:
        if captured is not None:
            captured.connection.close()
        if self.process is not None:
            stop(self.process, signal.SIGINT)
            self.process = None

    def keep(self) -> None:
        subprocess.run(["cp", "-a", self.cluster.directory, self.cluster.directory.with_name("kept")], check=True)

    def restore(self) -> None:
        shutil.rmtree(self.cluster.directory)
        self.cluster.directory.with_name("kept").rename(self.cluster.directory)

    def promote(self) -> Captured:
        """Start as the end of a recovery: on a timeline of its own."""
        (self.cluster.directory / "recovery.signal").touch()
        self.cluster.settings["restore_command"] = "false"  # pyright: ignore[reportIndexIssue]
        captured = self.start()
        eventually(lambda: captured.sql("select pg_is_in_recovery()").fetchone() == (False,), what="it is promoted")
        return captured


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.stop()


def again(captured: Captured, before: Captured) -> Captured:
    captured.snapshot, captured.ended = before.snapshot, before.ended
    return captured


def test_an_older_state_of_the_same_database_is_told_by_its_wal(cluster):
    before = cluster.start()
    before.begin()
    cluster.stop(before)
    cluster.keep()
    before = again(cluster.start(), before)
    before.ended = before.write()
    cluster.stop(before)
    cluster.restore()
    after = again(cluster.start(), before)
    with pytest.raises(SourceChanged, match="an older state of the database was restored"):
        after.require_unbroken()
    after.connection.close()


def test_a_promotion_is_in_order_if_it_has_all_that_kafka_holds_and_another_source_otherwise(cluster):
    before = cluster.start()
    before.begin()
    cluster.stop(before)
    after = again(cluster.promote(), before)
    assert after.look().timeline == before.snapshot.timeline + 1
    after.write()
    after.require_unbroken()
    after.ended = after.write()  # as if Kafka had had it from the old timeline
    with pytest.raises(SourceChanged, match="left timeline 1 at"):
        after.require_unbroken()
    after.snapshot = replace(after.snapshot, timeline=9)
    with pytest.raises(SourceChanged, match="does not come from timeline 9"):
        after.require_unbroken()
    after.connection.close()

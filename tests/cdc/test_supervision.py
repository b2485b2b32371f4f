"""What the supervision does about a connector, at a real database, a scripted log and a worker that runs nothing."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from cdc import connector, control, snapshots
from cdc.catalog import control_topic, read_tables
from cdc.connect import Connect
from cdc.errors import Fatal, Transient
from cdc.reader import Decoded, Record
from config.settings import Settings
from tests.scripted import PREFIX, ScriptedLog, ScriptedReader
from tests.worker import Worker, answering


class _Reader(ScriptedReader):
    """All records of one partition after another, none decoded."""

    def __init__(self, log: ScriptedLog) -> None:
        super().__init__(log, lambda unread: (unread[0], 100))

    def poll(self, timeout_s: float, most_records: int) -> list[Record | Decoded]:
        self._across = True
        return super().poll(timeout_s, most_records)


class Supervised:
    """A database with a table, what Kafka holds of it, and a worker, as supervisions one after another find them."""

    def __init__(self, dsn: str, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.worker = worker
        self.source = psycopg.connect(dsn, autocommit=True)
        self.source.execute(
            "create table parcels (id int primary key, sent date); create publication p for table parcels"
        )
        self.settings = Settings(
            source_dsn=SecretStr(dsn),
            connect_url=worker.url,
            topic_prefix=PREFIX,
            publication="p",
            slot=f"slot_{secrets.token_hex(4)}",
        )
        log = ScriptedLog(self._tables())
        log.partitions[control_topic(PREFIX), 0] = []
        for module in (connector, control, snapshots):
            monkeypatch.setattr(module, "KafkaPythonReader", lambda _bootstrap: _Reader(log))

        def send(_: str, topic: str, key: bytes, value: Any, headers: Any = ()) -> None:
            log.append(topic, key, None if value is None else control.json.dumps(value).encode(), [*headers])

        monkeypatch.setattr(control, "_send", send)
        self._log = log

    @property
    def noted(self) -> list[str]:
        """The supervisions that the control topic tells of."""
        records = [r for r in self._log.partitions[control_topic(PREFIX), 0] if r.key == b"supervision"]
        return [control.json.loads(r.value or b"")["life"] for r in records]

    def _tables(self) -> Any:
        return read_tables(self.settings.source_dsn.get_secret_value(), "p")  # pyright: ignore[reportOptionalMemberAccess]

    def anew(self) -> connector._Supervision:
        """Another supervision, of whose forerunner nothing is left."""
        connect = Connect(self.settings.connect_url, self.settings.connector)
        return connector._Supervision(self.settings, self._tables(), connect, self.source, lambda: None)

    def snapshot(self, supervision: connector._Supervision) -> None:
        """The first snapshot is taken and noted; the connector streams."""
        supervision._check()
        self.source.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [self.settings.slot])
        self.worker.offset = {"lsn": 1}
        supervision._check()
        assert supervision._snapshots.current is not None
        self.worker.asked.clear()


@pytest.fixture
def supervised(shop_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervised]:
    with answering() as worker:
        supervised = Supervised(shop_database, worker, monkeypatch)
        with supervised.source:
            yield supervised


@pytest.fixture
def supervision(supervised: Supervised) -> Iterator[connector._Supervision]:
    """One whose connector streams."""
    supervision = supervised.anew()
    with closing(supervision), closing(supervision._connect):
        supervised.snapshot(supervision)
        yield supervision


AT_ITS_SLOT = ["PUT stop", "DELETE offsets", "PUT config", "PUT resume"]


def test_a_connector_that_a_restart_left_stopped_is_started_at_its_slot(supervised, supervision):
    supervised.worker.fail("org.postgresql.util.PSQLException: FATAL: terminating connection")
    supervised.worker.refuses["DELETE offsets"] = 1
    with pytest.raises(Transient, match="409"):
        supervision._check()
    assert supervised.worker.state == "STOPPED" and supervised.worker.offset
    supervised.worker.asked.clear()
    heir = supervised.anew()
    with closing(heir), closing(heir._connect):
        heir._check()
        assert supervised.worker.asked == AT_ITS_SLOT
        assert (supervised.worker.state, supervised.worker.offset) == ("RUNNING", None)
        assert supervised.worker.config["snapshot.mode"] == "no_data"
        heir._check()
        assert supervised.worker.asked == AT_ITS_SLOT, "it is not started again while it starts"


def test_a_connector_that_somebody_stopped_is_started_and_no_failure_is_counted(supervised, supervision):
    for _ in range(connector._FAILURES_IN_ONE_PLACE + 1):
        supervised.worker.answer("PUT", "stop", None)
        supervision._check()
        assert supervised.worker.state == "RUNNING"


def test_a_connector_that_was_stopped_inside_a_snapshot_begins_it_again(supervised):
    supervision = supervised.anew()
    with closing(supervision), closing(supervision._connect):
        supervision._check()
        supervised.worker.answer("PUT", "stop", None)
        supervision._check()
    assert supervised.worker.state == "RUNNING"
    assert supervised.worker.config["snapshot.mode"] == "initial"


def test_a_connector_that_somebody_paused_stays_so(supervised, supervision):
    supervised.worker.answer("PUT", "pause", None)
    supervised.worker.asked.clear()
    supervision._check()
    assert (supervised.worker.state, supervised.worker.asked) == ("PAUSED", [])


def read_columns(supervised: Supervised) -> str:
    """How the snapshot is told to read the table."""
    return supervised.worker.config['snapshot.select.statement.overrides."public"."parcels"']


def test_a_snapshot_reads_the_columns_that_are_there_when_it_begins(supervised, supervision):
    supervised.source.execute("alter table parcels add column weight int")
    control.request_snapshot(supervised.settings.kafka, PREFIX, "a test asks")
    supervision._check()
    assert '"weight"' in read_columns(supervised)
    supervised.source.execute("alter table parcels drop column weight")
    supervised.worker.fail('org.postgresql.util.PSQLException: ERROR: column "weight" does not exist')
    supervision._check()
    assert '"weight"' not in read_columns(supervised)


def test_a_snapshot_that_a_column_was_added_to_begins_again_with_it(supervised):
    supervision = supervised.anew()
    with closing(supervision), closing(supervision._connect):
        supervision._check()
        supervised.source.execute("alter table parcels add column weight int")
        supervised.worker.offset = {"lsn": 1}
        supervision._check()
        assert supervision._snapshots.current is None
    assert '"weight"' in read_columns(supervised)


def test_a_connector_is_not_configured_for_a_table_that_came_or_cannot_be_mirrored(supervised, supervision):
    supervised.worker.fail("java.io.IOException")
    supervised.source.execute("alter table parcels add column at timetz")
    with pytest.raises(Fatal, match=r"public\.parcels\.at: type time with time zone"):
        supervision._check()
    supervised.source.execute("create table letters (id int primary key); alter publication p add table letters")
    with pytest.raises(Transient, match="publishes other tables than before"):
        supervision._check()
    assert supervised.worker.asked == []


def test_attempts_to_supervise_are_noted_once_and_not_before_the_first_canary(supervised):
    for _ in range(5):
        supervised.worker.refuses["GET status"] = 1
        with closing(supervised.anew()) as waiting, closing(waiting._connect), pytest.raises(Transient):
            waiting.run(threading.Event())
    assert supervised.noted == []
    for number in range(3):
        with closing(supervised.anew()) as heir, closing(heir._connect):
            heir._send_canary()
            heir._send_canary()
            assert heir._canaries.life.startswith(f"{supervised.noted[0]}-"), number
    assert len(supervised.noted) == 1


def test_a_supervision_that_the_topic_has_forgotten_is_noted_again(supervised, supervision, monkeypatch):
    monkeypatch.setattr(control, "_SUPERVISIONS_REMEMBERED", 3)
    for other in "abc":
        control.note_supervision("", PREFIX, other)
    supervision._check()
    supervision._send_canary()
    assert supervised.noted[-2:] == ["c", supervision._canaries.supervision]

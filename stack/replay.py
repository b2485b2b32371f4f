"""Kafka's log replayed into a mirror of its own, and the serving store's mirror compared with that, row by row.

An ordinary projector does it, in a database that is there for as long as it takes: what serves is not touched. It begins
where the newest whole snapshot begins, and ends when it stands where the serving store stands.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Collection, Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from cdc.catalog import Table, topics_of, transaction_topic
from cdc.control import read_control
from cdc.errors import Fatal, ReadsideError, Transient
from config.settings import Settings
from projectors.checkpoint import lsn_value
from projectors.loop import Projector
from projectors.read_model import Declarations
from projectors.run import captured_shapes, captured_tables, open_reader
from projectors.serving.store import ServingStore
from projectors.verification.comparing import Verdict, compare
from projectors.verification.oracles import SESSION, oracle_of_table
from projectors.verification.sides import Serving, Sides, Source
from stack.errors import StackError
from stack.serving_store import serving_dsn
from stack.terminal import talk

_LOOK_S = 0.5
_CATCH_UP_S = 60.0


def require_history(settings: Settings) -> None:
    """Raises StackError when Kafka no longer holds the newest snapshot and all that followed."""
    try:
        snapshot = read_control(settings.kafka, settings.topic_prefix).latest
        if snapshot is None:
            raise StackError("no whole snapshot lies in Kafka; take `--from snapshot`")
        with closing(open_reader(settings)) as reader:
            wanted = {partition: begin for partition, (begin, _) in snapshot.partitions().items()}
            held = reader.begin_offsets(wanted)
    except ReadsideError as exc:
        raise StackError(f"{exc}; see `readside status`") from exc
    gone = sorted(f"{topic}[{number}]" for (topic, number), begin in wanted.items() if held[topic, number] > begin)
    if gone:
        raise StackError(
            f"Kafka no longer holds the history: retention has taken the beginning of {', '.join(gone)}; take "
            "`--from snapshot`, which reads the source"
        )


def compared_with_replay(settings: Settings, names: Collection[str]) -> list[Verdict]:
    """Replay these tables of the mirror and compare. Raises StackError when that is not possible now."""
    try:
        tables = [table for table in captured_tables(settings) if table.mirror in names]
        with _database(settings) as dsn, _replaying(settings, dsn, tables) as projector:
            _see(settings, dsn, tables, projector)
            return _compared(settings, dsn, tables)
    except ReadsideError as exc:
        raise StackError(f"Kafka's log cannot be replayed: {exc}") from exc
    except psycopg.Error as exc:
        raise StackError(f"Kafka's log cannot be replayed: {type(exc).__name__}; see `readside status`") from exc


class _Replayed(Source):
    """The replayed mirror as the side that is right; its moments are the store's own.

    A source is never behind what is compared with it, so each moment comes when the replay has got where the store stands.
    """

    def __init__(self, connection: psycopg.Connection[Any], store: Serving) -> None:
        super().__init__(connection)
        self._store = store

    @contextmanager
    def _moment(self) -> Generator[None]:
        wanted, began = self._store.position(), time.monotonic()
        while self._position() < wanted:
            if time.monotonic() - began > _CATCH_UP_S:
                raise Transient(
                    f"the replay stays behind the serving store; it has not caught up in {_CATCH_UP_S:.0f} s"
                )
            time.sleep(_LOOK_S)
        with super()._moment():
            yield

    def _position(self) -> int:
        with self._connection.transaction():
            return self._lsn()

    def _lsn(self) -> int:
        row = self._connection.execute(_POSITION).fetchone()
        return lsn_value(row[0]) if row else 0


_POSITION = "select end_lsn::text from readside.checkpoint where store = 'serving'"


class _Run:
    """A projector in a thread."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.error: BaseException | None = None

    def require(self) -> None:
        """Raises what ended it."""
        if isinstance(self.error, ReadsideError):
            raise self.error
        if self.error is not None:
            raise Fatal(f"the replay ended: {type(self.error).__name__}")


@contextmanager
def _replaying(settings: Settings, dsn: str, tables: list[Table]) -> Generator[_Run]:
    run = _Run()
    shapes = captured_shapes(settings, tuple(tables))

    def request(reason: str) -> None:
        raise Fatal(f"it would take a snapshot ({reason}); take `--from snapshot`")

    def work() -> None:
        try:
            with (
                closing(open_reader(settings)) as reader,
                closing(ServingStore(dsn, tables, Declarations(), shapes=shapes)) as store,
            ):
                while not run.stop.is_set():
                    try:
                        Projector(settings, store, tables, reader, request=request).run(run.stop)
                    except Transient:
                        run.stop.wait(_LOOK_S)
        except BaseException as exc:
            run.error = exc

    thread = threading.Thread(target=work, name="replay", daemon=True)
    thread.start()
    try:
        yield run
    finally:
        run.stop.set()
        thread.join(30.0)


def _see(settings: Settings, dsn: str, tables: list[Table], run: _Run) -> None:
    """Wait until the replay stands where the serving store stood when it was asked for, and say how it goes on."""
    topics = [*topics_of(settings.topic_prefix, tables), transaction_topic(settings.topic_prefix)]
    with psycopg.connect(serving_dsn(settings), autocommit=True) as store:
        row = store.execute(_POSITION).fetchone()
    wanted = lsn_value(row[0]) if row else 0
    began = time.monotonic()
    with talk.status(f"{len(topics)} topics are replayed") as status, psycopg.connect(dsn, autocommit=True) as replayed:
        while True:
            run.require()
            if replayed.execute("select to_regclass('readside.checkpoint')").fetchone() != (None,):
                at = replayed.execute("select end_lsn::text, changes from readside.checkpoint").fetchone()
                if at is not None and lsn_value(at[0]) >= wanted:
                    break
                if at is not None:
                    rate = at[1] / (time.monotonic() - began)
                    status.update(f"{at[1]:,} changes replayed, {rate:,.0f}/s")
            time.sleep(_LOOK_S)
    talk.print(f"replayed in {time.monotonic() - began:.1f} s")


def _compared(settings: Settings, dsn: str, tables: list[Table]) -> list[Verdict]:
    with (
        psycopg.connect(dsn, options=SESSION) as replayed,
        psycopg.connect(serving_dsn(settings), autocommit=True, options=SESSION) as serving,
    ):
        store = Serving(serving)
        sides = Sides(_Replayed(replayed, store), {"serving": store})
        oracles = (oracle_of_table(table) for table in tables)
        return [compare(sides, replace(oracle, expected=oracle.stored)) for oracle in oracles]


@contextmanager
def _database(settings: Settings) -> Generator[str]:
    dsn = settings.admin_dsn.get_secret_value() if settings.admin_dsn else serving_dsn(settings)
    name = Identifier(f"readside_replay_{secrets.token_hex(4)}")
    try:
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute(SQL("create database {}").format(name))
    except psycopg.errors.InsufficientPrivilege as exc:
        raise StackError(
            "a database is needed for the replay, and the role of READSIDE_SERVING_DSN may not create one; "
            "set READSIDE_ADMIN_DSN, or `alter role … createdb`"
        ) from exc
    try:
        yield make_conninfo(dsn, dbname=name.as_string().strip('"'))
    finally:
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute(SQL("drop database if exists {} with (force)").format(name))

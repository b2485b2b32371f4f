"""``python -m benchmarks.upstream``: what Debezium loses under kills and cuts, from stored offsets and from the slot.

One database, one workload (stack.churn: key changes, COPYs, overlapping transactions), two Kafka Connect workers with two
connectors each, batch sizes 1 and 2048. Both workers are killed at once, again and again; then all walsenders are cut.
Then the database's own record of every committed row change is compared with what lies in Kafka.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks import truth
from benchmarks.captors import Captor, Worker
from cdc.catalog import Table, read_tables
from cdc.connector import source_dsn
from cdc.control import read_control
from config.settings import Settings
from projectors.checkpoint import lsn_value
from stack import jars, up
from stack.churn import Churn
from stack.errors import StackError
from stack.java import find_java
from stack.process import stop

TABLES = ("public.comments", "public.posts", "public.users")
_RECOVERY_S, _DRAIN_S = 180.0, 600.0
_PAUSE_S = (0.2, 0.6)  # a connector that commits a Kafka transaction for each record must keep up
_LOOK_S = 0.1

Admin = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One connector's record."""

    connector: str
    stored: bool
    batch: int
    committed: int  #: row changes, as the database noted them
    lost: int  #: of them not in Kafka
    unknown: int  #: in Kafka, and never committed
    doubled: int | None  #: handed out more than once by readside's assembler; None where rows were lost before it
    missed: int | None  #: not handed out by it
    snapshots: int | None  #: taken by readside's supervision: what another one brings again is in no stream
    differences: int  #: rows in which a table made of the topics differs from the source: what comparing finds


def run(settings: Settings, *, kills: int, cuts: int, seed: int, stored: bool = True) -> list[Finding]:
    """Run all of it on a stack of its own in ``settings.data_dir``; ``stored``: also from stored offsets."""
    with _platform(settings) as (running, admin, tables):
        java, files = find_java(running.java_home, make_class_cache=False), jars.fetch()
        workers = [Worker(running, java, files, stored=each) for each in ((False, True) if stored else (False,))]
        try:
            for worker in workers:
                worker.start(tables)
            captors = [captor for worker in workers for captor in worker.captors]
            _await_snapshots(captors)
            _await_drained(admin, captors)
            truth.watch(admin, tables)
            churn = Churn(running, seed=seed, workers=3, pause_s=_PAUSE_S)
            churn.start()
            try:
                _disturb(admin, workers, captors, Random(f"{seed}/upstream"), kills, cuts)
            finally:
                churn.stop()
            _await_drained(admin, captors)
            return [_finding(captor, tables, admin) for captor in captors]
        finally:
            for worker in workers:
                worker.close()


def main() -> int:
    """Run it as the command line says, print and keep the findings; 0 if nothing was lost from the slot."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.upstream", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--cuts", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path(".readside/upstream.json"))
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="readside-upstream-"))
    try:
        findings = run(Settings(data_dir=directory), kills=options.kills, cuts=options.cuts, seed=options.seed)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    kept = {
        "kills": options.kills,
        "cuts": options.cuts,
        "seed": options.seed,
        "versions": jars.versions(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "findings": [asdict(finding) for finding in findings],
    }
    options.keep.parent.mkdir(parents=True, exist_ok=True)
    options.keep.write_text(json.dumps(kept, indent=2) + "\n")
    sys.stdout.write(json.dumps(kept, indent=2) + "\n")
    slotted = [finding for finding in findings if not finding.stored]
    return 1 if any(f.lost or f.unknown or f.doubled or f.missed or f.differences for f in slotted) else 0


@contextmanager
def _platform(settings: Settings) -> Generator[tuple[Settings, Admin, tuple[Table, ...]]]:
    """PostgreSQL and Kafka, and what of the database is captured."""
    given = settings.model_copy(update={"tables": TABLES})
    supervisor = up.start(given, only="postgres,kafka", ports="auto", detach=False)
    try:
        up.wait_healthy(settings.data_dir, supervisor=supervisor)
        running = Settings(data_dir=settings.data_dir)
        assert running.admin_dsn is not None
        dsn = make_conninfo(running.admin_dsn.get_secret_value(), dbname="shop")
        with psycopg.connect(dsn, autocommit=True) as admin:
            yield running, admin, read_tables(source_dsn(running), running.publication, running.tables)
    finally:
        stop(supervisor, timeout_s=60)


def _disturb(
    admin: Admin, workers: Sequence[Worker], captors: Sequence[Captor], random: Random, kills: int, cuts: int
) -> None:
    quiet = threading.Event()
    for number in range(kills + cuts):
        quiet.wait(random.uniform(0.5, 3.0))
        before = _senders(admin, captors)
        if number < kills:
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.resume()
        else:
            admin.execute(
                "select pg_terminate_backend(pid) from unnest(%(pids)s::int[]) pid", {"pids": list(before.values())}
            )
        _await_senders(admin, captors, before)
        sys.stderr.write(f"{number + 1}/{kills + cuts} {'kill' if number < kills else 'cut'}\n")


def _finding(captor: Captor, tables: Sequence[Table], admin: Admin) -> Finding:
    committed = truth.committed(admin)
    sent = truth.sent(captor.settings, tables)
    lost, unknown = (committed - sent).total(), (sent - committed).total()
    assembled = None if captor.stored else truth.assembled(captor.settings, tables)
    return Finding(
        connector=captor.name,
        stored=captor.stored,
        batch=captor.batch,
        committed=committed.total(),
        lost=lost,
        unknown=unknown,
        doubled=None if assembled is None else (assembled - committed).total(),
        missed=None if assembled is None else (committed - assembled).total(),
        snapshots=None if captor.stored else len(read_control(captor.settings.kafka, captor.name).snapshots),
        differences=truth.state_differences(captor.settings, tables, admin),
    )


def _senders(admin: Admin, captors: Sequence[Captor]) -> dict[str, int]:
    rows = admin.execute(
        "select slot_name, active_pid from pg_replication_slots where slot_name = any(%(slots)s) and active_pid is not null",
        {"slots": [captor.name for captor in captors]},
    ).fetchall()
    return dict(rows)


def _await_senders(admin: Admin, captors: Sequence[Captor], before: dict[str, int]) -> None:
    deadline = time.monotonic() + _RECOVERY_S
    while True:
        now = _senders(admin, captors)
        missing = [captor.name for captor in captors if now.get(captor.name) in (None, before.get(captor.name, -1))]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise StackError(f"{', '.join(missing)} did not come back within {_RECOVERY_S:.0f} s")
        time.sleep(_LOOK_S)


def _await_snapshots(captors: Sequence[Captor]) -> None:
    """Until one is noted as whole, a kill begins it anew."""
    deadline = time.monotonic() + _DRAIN_S
    for captor in captors:
        while not captor.stored and read_control(captor.settings.kafka, captor.name).latest is None:
            if time.monotonic() > deadline:
                raise StackError(f"{captor.name} has no whole snapshot after {_DRAIN_S:.0f} s")
            time.sleep(_LOOK_S)


def _await_drained(admin: Admin, captors: Sequence[Captor]) -> None:
    """Wait until every slot has passed what is committed now: Kafka has acknowledged it then."""
    wanted = _position(admin, "select pg_current_wal_insert_lsn()::text")
    deadline = time.monotonic() + _DRAIN_S
    while True:
        admin.execute("select pg_logical_emit_message(true, 'readside.pulse', '')")
        behind = [
            captor.name
            for captor in captors
            if _position(
                admin,
                "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = %(slot)s",
                {"slot": captor.name},
            )
            < wanted
        ]
        if not behind:
            return
        if time.monotonic() > deadline:
            raise StackError(f"{', '.join(behind)} did not catch up within {_DRAIN_S:.0f} s")
        time.sleep(_LOOK_S)


def _position(admin: Admin, query: Any, parameters: dict[str, str] | None = None) -> int:
    row = admin.execute(query, parameters).fetchone()
    return lsn_value(row[0]) if row and row[0] else 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m projectors.analytics.copying``: makes published copies of copies of the live file, for as long as it is asked.

A line of standard input is a JSON array, the copy's path, the target's and the copy's number; a line of standard output
answers it with a JSON string, which says why that failed and is empty when it did not. DuckDB is imported once, which is a
quarter of what a copy of a small store costs; each copy is made in a process forked from here, whose memory goes with it.
SIGTERM ends both.

The first one is written whole, which costs 2 s for a million rows. One after that is made of the last one and of the rows
that the live file notes as new since (unpublished.py), a seventh of that: until rows that are gone take up too much of it,
or somebody has written to it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import duckdb

from projectors.analytics.quoting import literal, quoted

STORAGE = "v1.0.0"  # that of DuckDB 1.0: older clients read it, and the files of today's format they do not
_MOST_GROWN = 2.0  # times its size when it was written anew
_FEW_ROWS = 1_000  # of a table that is written anew each time
_MOST_EXCHANGED = 0.1  # of a table's rows, at least: as dear as to write it anew
_KEYS = (
    '"keys that changed"'  # as no declared table is called: DuckDB takes main.t for a temporary t while there is one
)
_MOMENT = "The moment of the source that this copy shows, and what was read of Kafka."


@dataclass(frozen=True, slots=True)
class Base:
    """The last copy that was published, which the next one is made of."""

    number: int
    signature: tuple[int, ...]  #: of the file as it was left
    whole_bytes: int  #: of the last one that was written anew

    def fits(self, target: Path) -> bool:
        """Whether it is there as it was left, and rows that are gone take up little of it."""
        return self.is_left(target) and self.signature[-1] <= _MOST_GROWN * self.whole_bytes

    def is_left(self, target: Path) -> bool:
        """Whether it is there as it was left."""
        return _signature(target) == self.signature


def publish(copy: Path, target: Path, base: Base | None = None) -> None:
    """Make ``target`` of a copy of the live file; the last one is kept beside it as ``<name>.previous.duckdb``.

    ``base``: what the target is; then what is noted as new since is all that is written. Raises DifferentError when that
    does not make it what the live file is.
    """
    made = copy.with_name("made.duckdb")
    made.unlink(missing_ok=True)
    if base is not None:
        shutil.copyfile(target, made)
        if not base.is_left(target):
            raise DifferentError("somebody wrote to it meanwhile; the next copy is written anew")
    with duckdb.connect(copy, config={"threads": "1", "autoinstall_known_extensions": "false"}) as store:
        store.execute("set timezone = 'UTC'")
        store.execute("pragma disable_checkpoint_on_shutdown")  # nobody opens this copy again: a quarter of all it took
        store.execute(f"attach {literal(str(made))} as published (storage_version {literal(STORAGE)})")
        store.execute("begin")
        if base is None:
            for name, table in _tables(store, "main").items():
                _write(store, name, table.comment)
        else:
            _bring_up(store, base.number)
        store.execute("create or replace table published.main._readside as from main._readside")
        store.execute(f"comment on table published.main._readside is {literal(_MOMENT)}")
        store.execute("commit")
        store.execute("checkpoint published")
        store.execute("detach published")
    with made.open("rb") as file:
        os.fsync(file.fileno())
    previous = target.with_name(f"{target.stem}.previous{target.suffix}")
    if target.exists():
        linked = copy.with_name("previous.duckdb")
        linked.unlink(missing_ok=True)
        os.link(target, linked)
        linked.replace(previous)
    # Who opened it to write, and did, left a log: DuckDB would apply that to whatever lies under the name. Removed on both
    # sides of the replacement; who still writes then does so to files that nobody else will open.
    log = target.with_name(target.name + ".wal")
    log.unlink(missing_ok=True)
    made.replace(target)
    log.unlink(missing_ok=True)


class DifferentError(Exception):
    """The copy that was made of the last one and what was noted as new is not what the store holds."""


def _bring_up(store: duckdb.DuckDBPyConnection, since: int) -> None:
    """Make the tables of the attached copy what the live file's are."""
    there, noted = _tables(store, "main"), _tables(store, "unpublished")
    anew = {
        name for (name,) in store.execute(
            'select distinct "table" from readside.unpublished where copy > $since', {"since": since}
        ).fetchall()
    }  # fmt: skip
    for name in _tables(store, "main", "published") - there.keys():
        if name != "_readside":
            store.execute(f"drop table published.main.{quoted(name)}")
    for name, table in there.items():
        if name in anew or table.rows <= _FEW_ROWS:
            _write(store, name, table.comment)
        elif name in noted:
            _exchange(store, name, table, since)
        else:  # a history, which is added to and nothing else
            here = f"published.main.{quoted(name)}"
            store.execute(f"insert into {here} from main.{quoted(name)} where rowid >= (select count(*) from {here})")
        counts = (
            f"select (select count(*) from main.{quoted(name)}), (select count(*) from published.main.{quoted(name)})"
        )
        must_be, is_so = store.execute(counts).fetchall()[0]
        if must_be != is_so:
            raise DifferentError(f"{name} would have {is_so} rows instead of {must_be}; the next copy is written anew")


def _exchange(store: duckdb.DuckDBPyConnection, name: str, table: _Table, since: int) -> None:
    """Write the rows of the keys that are noted, and of those alone, unless they are many."""
    *key, copy = (
        quoted(column) for (column,) in store.execute(
            f"select name from pragma_table_info({literal(f'unpublished.{quoted(name)}')}) order by cid"
        ).fetchall()
    )  # fmt: skip
    names, here, there = ", ".join(key), f"published.main.{quoted(name)}", f"main.{quoted(name)}"
    [(count,)] = store.execute(
        f"create or replace temporary table {_KEYS} as select distinct {names} from unpublished.{quoted(name)} "
        f"where {copy} > $since",
        {"since": since},
    ).fetchall()
    if count > _MOST_EXCHANGED * table.rows:
        _write(store, name, table.comment)
    else:
        same = " and ".join(f"p.{each} = k.{each}" for each in key)
        store.execute(f"delete from {here} p using {_KEYS} k where {same}")
        store.execute(f"insert into {here} by name select l.* from {there} l semi join {_KEYS} using ({names})")
    store.execute(f"drop table {_KEYS}")


def _write(store: duckdb.DuckDBPyConnection, name: str, comment: str) -> None:
    """Write a table anew."""
    store.execute(f"create or replace table published.main.{quoted(name)} as from main.{quoted(name)}")
    store.execute(f"comment on table published.main.{quoted(name)} is {literal(comment)}")


@dataclass(frozen=True, slots=True)
class _Table:
    rows: int  # about
    comment: str


def _tables(store: duckdb.DuckDBPyConnection, schema: str, database: str | None = None) -> dict[str, _Table]:
    found = store.execute(
        "select table_name, estimated_size, comment from duckdb_tables() where schema_name = $schema "
        "and database_name = coalesce($database, current_database()) and not temporary order by table_name",
        {"schema": schema, "database": database},
    ).fetchall()
    return {name: _Table(rows, comment or "") for name, rows, comment in found}


def _signature(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _forked(copy: Path, target: Path, base: Base | None) -> str:
    """Why it failed; empty when it did not. Nothing runs here that a fork could catch in the middle."""
    reading, writing = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until it is known here whom it ends
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        code = 1
        try:
            publish(copy, target, base)
            code = 0
        except BaseException as exc:
            os.write(writing, traceback.format_exception_only(exc)[-1].strip()[-300:].encode())
        finally:
            os._exit(code)

    def end(*_: object) -> None:
        os.kill(child, signal.SIGKILL)
        os._exit(1)

    signal.signal(signal.SIGTERM, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    os.close(writing)
    with open(reading, "rb") as said:
        why = said.read().decode(errors="replace")
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # from here on there is nobody to end
    _, status = os.waitpid(child, 0)
    return why or (f"exit code {os.waitstatus_to_exitcode(status)}" if status else "")


def main() -> None:
    """Publish as the lines say, at a lower priority than the projector's."""
    os.nice(5)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # at a terminal it is for the projector, which ends this one
    base: Base | None = None
    for line in sys.stdin:
        copy, target, number = json.loads(line)
        since = base if base is not None and base.fits(Path(target)) else None
        why = _forked(Path(copy), Path(target), since)
        left = _signature(Path(target))
        base = None if why or not left else Base(number, left, since.whole_bytes if since else left[-1])
        sys.stdout.write(json.dumps(why) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

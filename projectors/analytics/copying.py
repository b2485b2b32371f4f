"""``python -m projectors.analytics.copying``: makes published copies of copies of the live file, for as long as it is asked.

A line of standard input is a JSON array, the copy's path and the target's; a line of standard output answers it with a JSON
string, which says why that failed and is empty when it did not. DuckDB is imported once, which is a quarter of what a copy
of a small store costs; each copy is made in a process forked from here, whose memory goes with it. SIGTERM ends both.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path

import duckdb

from projectors.analytics.quoting import literal, quoted

STORAGE = "v1.0.0"  # that of DuckDB 1.0: older clients read it, and the files of today's format they do not
_MOMENT = "The moment of the source that this copy shows, and what was read of Kafka."


def publish(copy: Path, target: Path) -> None:
    """Make ``target`` of a copy of the live file; the last one is kept beside it as ``<name>.previous.duckdb``."""
    made = copy.with_name("made.duckdb")
    made.unlink(missing_ok=True)
    with duckdb.connect(copy, config={"threads": "1", "autoinstall_known_extensions": "false"}) as store:
        store.execute("set timezone = 'UTC'")
        store.execute("pragma disable_checkpoint_on_shutdown")  # nobody opens this copy again: a quarter of all it took
        store.execute(f"attach {literal(str(made))} as published (storage_version {literal(STORAGE)})")
        tables = store.execute(
            "select table_name, comment from duckdb_tables() "
            "where schema_name = 'main' and database_name = current_database() and not temporary order by table_name"
        ).fetchall()
        store.execute("begin")
        for name, comment in tables:
            store.execute(f"create table published.main.{quoted(name)} as from main.{quoted(name)}")
            store.execute(f"comment on table published.main.{quoted(name)} is {literal(comment or '')}")
        store.execute("create table published.main._readside as from main._readside")
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
    made.replace(target)


def _forked(copy: Path, target: Path) -> str:
    """Why it failed; empty when it did not. Nothing runs here that a fork could catch in the middle."""
    reading, writing = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # until it is known here whom it ends
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        code = 1
        try:
            publish(copy, target)
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
    for line in sys.stdin:
        copy, target = map(Path, json.loads(line))
        sys.stdout.write(json.dumps(_forked(copy, target)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

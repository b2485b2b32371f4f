"""``python -m projectors.analytics.copying COPY TARGET``: makes the published copy of a copy of the live file.

A process of its own, and begun every few seconds: it imports DuckDB and nothing else.
"""

from __future__ import annotations

import os
import sys
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


def main() -> None:
    """Publish as the arguments say, at a lower priority than the projector's."""
    os.nice(5)
    copy, target = map(Path, sys.argv[1:])
    publish(copy, target)


if __name__ == "__main__":
    main()

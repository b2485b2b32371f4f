"""Published copies made in this process, each of the last one and of what is noted as new, and held against the store."""

from __future__ import annotations

import shutil
from pathlib import Path
from unittest.mock import patch

import duckdb

from projectors.analytics import copying
from projectors.analytics.copying import Base
from projectors.analytics.unpublished import Unpublished


class Copies:
    """Those of one opening of a live file. ``unpublished``: for the store that has it open."""

    def __init__(self, live: Path) -> None:
        self.live = live
        self.target = live.with_name("published.duckdb")
        self.unpublished = Unpublished()
        self.most_exchanged = float("inf")  #: however few rows there are
        self.written: list[str] = []  #: tables that the last one was given anew
        self._base: Base | None = None

    def publish(self, *, fails: bool = False) -> None:
        """Make the next one, between two transactions; with ``fails``, to no avail: the one after that is written whole."""
        copy = self.live.with_name("copied.duckdb")
        for suffix in ("", ".wal"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)
            if (file := self.live.with_name(self.live.name + suffix)).exists():
                shutil.copyfile(file, copy.with_name(copy.name + suffix))
        number = self.unpublished.copied()
        if fails:
            self._base = None
            self.unpublished.settled(number)
            return
        self.written = []
        write = copying._write

        def noted(store: duckdb.DuckDBPyConnection, name: str, comment: str) -> None:
            self.written.append(name)
            write(store, name, comment)

        with (
            patch.object(copying, "_FEW_ROWS", -1),
            patch.object(copying, "_MOST_EXCHANGED", self.most_exchanged),
            patch.object(copying, "_write", noted),
        ):
            copying.publish(copy, self.target, self._base)
        left = copying._signature(self.target)
        self._base = Base(number, left, self._base.whole_bytes if self._base else left[-1])
        self.unpublished.settled(number)
        assert_equal(copy, self.target)


def assert_equal(copy: Path, published: Path) -> None:
    """Both hold the same rows, in tables of the same columns and comments."""
    with duckdb.connect(copy) as store:
        store.execute(f"attach '{published}' as published (read_only)")
        described = (
            "select table_name, column_name, data_type from duckdb_columns() "
            "where schema_name = 'main' and database_name = $database and table_name <> '_readside' order by all"
        )
        names = [store.execute(described, {"database": name}).fetchall() for name in (copy.stem, "published")]
        assert names[0] == names[1]
        for table in {name for name, _, _ in names[0]}:
            here, there = f'main."{table}"', f'published.main."{table}"'
            for one, other in ((here, there), (there, here)):
                assert store.execute(f"from {one} except all from {other}").fetchall() == [], table

"""The store's connections: how its file is opened, and calls that never run while the process forks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb

from cdc.errors import Fatal
from projectors.analytics.confined import Confinement
from projectors.analytics.quiet import Quiet
from projectors.analytics.quoting import literal, quoted

_LOG_BYTES = 32 << 20  # of DuckDB's log, before it is brought into the file


class Fetched:
    """The rows of a statement, all of them: an open result would keep its transaction, and DuckDB from checkpointing."""

    def __init__(self, rows: list[Any], description: Sequence[Any]) -> None:
        self._rows = rows
        self.columns = [str(column[0]) for column in description]
        self.types = [str(column[1]) for column in description]

    def fetchall(self) -> list[Any]:
        """Every row, a tuple each."""
        return self._rows

    def fetchone(self) -> Any:
        """The first row; None when there is none."""
        return self._rows[0] if self._rows else None


class Connection:
    """One connection, for one thread at a time."""

    def __init__(self, raw: duckdb.DuckDBPyConnection, quiet: Quiet) -> None:
        self.raw = raw  #: for calls that go round the lock: in a forked process, and before there can be one
        self.quiet = quiet

    def execute(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None) -> Fetched:
        """Run a statement to its end."""
        with self.quiet.calling():
            found = self.raw.execute(statement, parameters)
            return Fetched(found.fetchall(), found.description or ())

    def execute_all(self, *statements: str) -> None:
        """Run one after the other. In one call: each gives the interpreter's lock away, and waits for it, several times."""
        if statements:
            with self.quiet.calling():
                self.raw.execute("\n;\n".join(statements))  # a declaration's query may end with a comment

    def columns(self, table: str) -> list[tuple[str, str]]:
        """Names and types of a table's columns, in order; ``table``: as SQL writes its name."""
        # Not of duckdb_columns(), which looks at every table and view there is, and this is asked for each at every start.
        return self.execute(f"select name, type from pragma_table_info({literal(table)})").fetchall()

    def cursor(self) -> Connection:
        """Another connection to the same store."""
        with self.quiet.calling():
            return Connection(self.raw.cursor(), self.quiet)

    def interrupt(self) -> None:
        """Break off what another thread runs on this connection; from any thread."""
        self.raw.interrupt()

    def close(self) -> None:
        """Close it."""
        with self.quiet.calling():
            self.raw.close()


def opened(path: Path, memory_limit: str, quiet: Quiet) -> Connection:
    """The store's own connection. Raises Fatal when another process holds the file, or memory does not hold its log."""
    try:
        # Nothing in this process reads or writes any other file, and no statement can change that.
        raw = duckdb.connect(
            str(path),
            config={
                "enable_external_access": "false",
                "python_enable_replacements": "false",  # a variable of this program is no table
                "memory_limit": memory_limit,
                "threads": "1",  # a second one would take both cores of a small machine from the screens
                "checkpoint_threshold": "1TB",  # never of its own accord: see checkpoint_if_due
                "preserve_insertion_order": "false",
                "allowed_configs": "['memory_limit', 'max_temp_directory_size']",  # see forked
            },
        )
    except duckdb.IOException as exc:
        raise Fatal(f"DuckDB cannot open {path.name}: {str(exc).partition(chr(10))[0]}") from exc
    except duckdb.OutOfMemoryException as exc:
        raise Fatal(
            f"DuckDB cannot open {path.name}: its log needs more memory than READSIDE_ANALYTICS_MEMORY allows; raise it"
        ) from exc
    raw.execute("set global timezone = 'UTC'")  # of every cursor; without `global` a cursor has the machine's
    raw.execute("set lock_configuration = true")
    return Connection(raw, quiet)


def forked(connection: Connection, memory_bytes: int) -> duckdb.DuckDBPyConnection:
    """A connection for a confined process, whose copy of the store may take so much more memory, and no file."""
    cursor = connection.raw.cursor()
    used = cursor.execute("select sum(memory_usage_bytes)::bigint from duckdb_memory()").fetchall()[0][0]
    cursor.execute(f"set memory_limit = '{(used + memory_bytes) // 1_000}KB'")
    # Refused while the projector's own data lies there; no file can be written anyway.
    with suppress(duckdb.OutOfMemoryException):
        cursor.execute("set max_temp_directory_size = '0KB'")
    return cursor


def spilled(connection: Connection | duckdb.DuckDBPyConnection) -> bool:
    """Whether some of the store lies in DuckDB's temporary files."""
    return bool(connection.execute("select sum(temporary_storage_bytes) from duckdb_memory()").fetchall()[0][0])


def drop_temporary(connection: Connection) -> None:
    """Drop every temporary table: each takes a block of memory per column, however few its rows are."""
    found = connection.execute("select table_name from duckdb_tables() where temporary").fetchall()
    connection.execute_all(*(f"drop table temp.{quoted(name)}" for (name,) in found))


def checkpoint_if_due(connection: Connection, path: Path, confinement: Confinement) -> None:
    """Bring the log into the file, once it is long or memory does not hold what is in it, and no confined process reads the
    file as it was."""
    log = path.with_name(path.name + ".wal")
    # Confined processes cannot read what DuckDB has put into its temporary files; after a checkpoint nothing is in them.
    if log.exists() and (log.stat().st_size > _LOG_BYTES or spilled(connection)):
        with confinement.none_alive() as none:
            if none:
                connection.execute("checkpoint")

"""Work beside the projector's: statements that take long and need no fence, on a connection of their own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.sql import Composed

_NAME = "readside rebuild aside"
_OPTIONS = "-c timezone=UTC -c jit=off -c work_mem=64MB -c maintenance_work_mem=128MB"


def end_orphans(connection: psycopg.Connection[Any]) -> None:
    """End what a projector that is gone has left running: its server does not notice before the statement is done."""
    connection.execute(
        """
        select pg_terminate_backend(pid, 5000)
          from pg_stat_activity
         where application_name = %(name)s and datname = current_database() and usename = current_user
        """,
        {"name": _NAME},
    )


class Aside:
    """One list of statements, run on a connection of its own in a thread."""

    def __init__(self, dsn: str, statements: Sequence[Composed], *, together: bool) -> None:
        """Begins at once. ``together``: in one transaction; else each by itself."""
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(dsn, statements, together), name="aside", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is still at it. Raises what kept it from ending."""
        if self._thread.is_alive():
            return True
        if self._error is not None:
            raise self._error
        return False

    def _run(self, dsn: str, statements: Sequence[Composed], together: bool) -> None:
        try:
            with psycopg.connect(dsn, autocommit=not together, application_name=_NAME, options=_OPTIONS) as connection:
                for statement in statements:
                    connection.execute(statement)
        except Exception as exc:  # told to whoever asks
            self._error = exc

"""Work beside the projector's: statements that take long and need no fence, on a connection of their own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.sql import Composed

_NAME = "readside rebuild aside"
_OPTIONS = "-c timezone=UTC -c jit=off -c work_mem=64MB -c maintenance_work_mem=128MB"


_NO_ROOM = (psycopg.errors.DiskFull, psycopg.errors.ConfigurationLimitExceeded)  # for a second table beside the first


class CannotBuild(Exception):
    """A next version cannot be built; the message says why."""


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

    def ended(self, name: str) -> bool:
        """Whether it is done. Raises CannotBuild, which names ``name``, and what a lost connection raises."""
        if self._thread.is_alive():
            return False
        error = self._error
        if isinstance(error, psycopg.Error) and (
            isinstance(error, _NO_ROOM) or not isinstance(error, psycopg.OperationalError)
        ):
            raise CannotBuild(f"{name}: {error.diag.message_primary} ({error.sqlstate})") from error
        if error is not None:
            raise error
        return True

    def _run(self, dsn: str, statements: Sequence[Composed], together: bool) -> None:
        try:
            with psycopg.connect(dsn, autocommit=not together, application_name=_NAME, options=_OPTIONS) as connection:
                for statement in statements:
                    connection.execute(statement)
        except Exception as exc:  # told to whoever asks
            self._error = exc

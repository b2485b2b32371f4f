"""Work beside the projector's: statements that take long and need no fence, on a connection of their own."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import psycopg
from psycopg.sql import Composed

_OPTIONS = "-c jit=off -c work_mem=64MB -c maintenance_work_mem=128MB"


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
            with psycopg.connect(
                dsn, autocommit=not together, application_name="readside rebuild", options=_OPTIONS
            ) as connection:
                for statement in statements:
                    connection.execute(statement)
        except Exception as exc:  # told to whoever asks
            self._error = exc

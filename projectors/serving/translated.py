"""What the serving store's database says of a failure, by what the projector does next."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import psycopg

from cdc.errors import Fatal, Fenced, Refused, Transient


@contextmanager
def translated() -> Generator[None]:
    """Raises Transient, Fenced, Refused and Fatal for the database's errors inside the block."""
    try:
        yield
    except psycopg.OperationalError as exc:
        raise Transient(f"the serving store does not answer: {type(exc).__name__}") from exc
    except psycopg.DataError as exc:  # whose message quotes the value
        raise Refused(f"the serving store refused a value: {type(exc).__name__} ({exc.sqlstate})") from exc
    except psycopg.IntegrityError as exc:
        raise Refused(f"the serving store refused a row: {exc.diag.message_primary} ({exc.sqlstate})") from exc
    except psycopg.Error as exc:
        if exc.sqlstate == "RS001":
            raise Fenced("another projector has taken the serving store over; this one stops") from exc
        raise Fatal(f"the serving store refused: {exc.diag.message_primary} ({exc.sqlstate})") from exc

"""What DuckDB says of a failure, by what the projector does next."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import duckdb

from cdc.errors import Fatal, Refused

_REFUSALS = (
    duckdb.ConversionException,
    duckdb.ConstraintException,
    duckdb.InvalidInputException,
    duckdb.OutOfRangeException,
)


@contextmanager
def translated() -> Generator[None]:
    """Raises Refused and Fatal for DuckDB's errors inside the block."""
    try:
        yield
    except _REFUSALS as exc:  # whose message may quote the value
        raise Refused(f"the analytics store refused a value: {type(exc).__name__}") from exc
    except duckdb.Error as exc:
        raise Fatal(f"the analytics store refused: {str(exc).partition(chr(10))[0]}") from exc

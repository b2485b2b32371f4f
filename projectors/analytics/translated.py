"""What DuckDB says of a failure, by what the projector does next."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import duckdb

from cdc.errors import Fatal, Refused, Transient

_REFUSALS = (
    duckdb.ConversionException,
    duckdb.ConstraintException,
    duckdb.InvalidInputException,
    duckdb.OutOfRangeException,
)


@contextmanager
def translated() -> Generator[None]:
    """Raises Refused, Transient and Fatal for DuckDB's errors inside the block."""
    try:
        yield
    except duckdb.OutOfMemoryException as exc:
        # What rows were deleted is kept in memory until a checkpoint, and by opening the store anew it has one.
        raise Transient(
            "the analytics store needs more memory than READSIDE_ANALYTICS_MEMORY allows; it is opened anew and tries "
            "again. If this comes again and again, raise it, or lower READSIDE_ANALYTICS_BATCH_CHANGES"
        ) from exc
    except _REFUSALS as exc:  # whose message may quote the value
        raise Refused(f"the analytics store refused a value: {type(exc).__name__}") from exc
    except duckdb.Error as exc:
        raise Fatal(f"the analytics store refused: {str(exc).partition(chr(10))[0]}") from exc

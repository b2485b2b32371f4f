"""The relation that the mirror's statements read: a batch's rows, as JSON text from Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from projectors.batch import Version


class Incoming:
    """JSON text, without a Python object per value.

    Registered once: DuckDB keeps whatever is registered anew inside a transaction until that transaction's end.
    """

    def __init__(self) -> None:
        self.fill((), ())

    def fill(self, rows: Sequence[bytes], bases: Sequence[bytes | None]) -> None:
        """Its rows from here on."""
        self._table = pa.table({
            "row": pa.array(rows, pa.binary()).cast(pa.string()),
            "base": pa.array(bases, pa.binary()).cast(pa.string()),
        })  # fmt: skip

    def fill_versions(self, versions: Sequence[Version]) -> None:
        """Its rows from here on: every version, with its place in the history of its table."""
        rows = [version.row for version in versions]
        self._table = pa.table({
            "number": pa.array(range(len(rows)), pa.int64()),
            "key": pa.array([version.key for version in versions], pa.binary()).cast(pa.string()),
            "row": pa.array([row and row.columns for row in rows], pa.binary()).cast(pa.string()),
            "base": pa.array([row and row.base for row in rows], pa.binary()).cast(pa.string()),
            "end_lsn": pa.array([version.end_lsn for version in versions], pa.uint64()),
            "place": pa.array([version.place for version in versions], pa.int64()),
            "at_us": pa.array([version.committed_us for version in versions], pa.int64()),
        })  # fmt: skip

    def __arrow_c_schema__(self) -> Any:
        """Arrow's PyCapsule interface, as each statement asks for it."""
        return self._table.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Arrow's PyCapsule interface, as each statement asks for it."""
        return self._table.__arrow_c_stream__(requested_schema)

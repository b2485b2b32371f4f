"""A result in a file: Parquet, CSV, or JSON as an array or as lines; written whole or not at all."""

from __future__ import annotations

import io
import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stack.errors import StackError
from stack.sql.asking import ARROW, CSV, Encoded, Freshness, Rows, Store


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    path: Path
    rows: int
    size_bytes: int
    truncated: bool
    freshness: Freshness


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A file to be written, whose ending names its format."""

    path: Path
    force: bool = False  #: take the place of a file that exists
    allow_truncated: bool = False  #: keep an answer that the row limit cut off

    def check(self) -> None:
        """Raise StackError for what can be known before anything is asked."""
        if self.path.suffix.lower() not in _FORMATS:
            endings = ", ".join(_FORMATS)
            raise StackError(f"{self.path}: the ending of a result's file names its format: one of {endings}")
        if not self.path.parent.is_dir():
            raise StackError(f"{self.path.parent} is no directory; make it, or write elsewhere")
        if self.path.is_dir():
            raise StackError(f"{self.path} is a directory")
        if not self.force and self.path.exists():
            raise _exists(self.path)


def write(store: Store, statement: str, target: Target) -> Written:
    """Run one statement and write its rows. Raises StackError; then there is no file, or the one that was there.

    An answer that the row limit cut off is refused unless the target allows it: on a terminal a person reads the note
    below the rows, but whoever opens a file later has only the rows.
    """
    target.check()
    answer, rows, content = _FORMATS[target.path.suffix.lower()](store, statement)
    if answer.truncated and not target.allow_truncated:
        raise StackError(
            f"{target.path} is not written: the answer was cut off after {rows} rows by the limit READSIDE_SQL_ROWS; narrow "
            "the statement, raise the limit, or take the part with --allow-truncated (at the prompt `\\o+ FILE`)"
        )
    with replacing(target.path, force=target.force) as file:
        file.write(content)
    return Written(target.path, rows, len(content), answer.truncated, answer.freshness)


@contextmanager
def replacing(path: Path, *, force: bool) -> Generator[BinaryIO]:
    """A file beside the path, which takes its place when the block has ended well. Raises StackError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if force:
            beside.replace(path)
        else:
            _into_place(beside, path)
    except OSError as exc:
        raise StackError(f"{path} cannot be written: {exc.strerror or exc}") from exc
    finally:
        beside.unlink(missing_ok=True)


def _into_place(beside: Path, path: Path) -> None:
    try:
        path.hardlink_to(beside)  # fails where something is: no moment between looking and taking the name
    except FileExistsError as exc:
        raise _exists(path) from exc
    except OSError:  # a file system without links
        if path.exists():
            raise _exists(path) from None
        beside.rename(path)


def _exists(path: Path) -> StackError:
    return StackError(
        f"{path} exists and is left as it is; to replace it, say --force (at the prompt `\\o! FILE`), or name another file"
    )


def _csv(store: Store, statement: str) -> tuple[Encoded, int, bytes]:
    answer = store.encoded(statement, CSV)
    return answer, rows_of_csv(answer.content.decode()), answer.content


def rows_of_csv(text: str) -> int:
    """How many rows follow the header line; a value may hold a line's end."""
    # Not by Python's reader, which has a limit on a value's length: every second piece lies between quotation marks.
    return sum(piece.count("\r\n") for piece in text.split('"')[::2]) - 1


def _json(store: Store, statement: str) -> tuple[Rows, int, bytes]:
    answer = store.rows(statement)
    return answer, len(answer.rows), _records(answer, "[\n", ",\n", "\n]\n")


def _ndjson(store: Store, statement: str) -> tuple[Rows, int, bytes]:
    answer = store.rows(statement)
    return answer, len(answer.rows), _records(answer, "", "\n", "\n")


def _records(answer: Rows, begin: str, between: str, end: str) -> bytes:
    """An object for each row: what pandas, DuckDB and jq read."""
    _distinct(answer.columns)
    if not answer.rows:
        return b"[]\n" if begin else b""
    objects = (json.dumps(dict(zip(answer.columns, row, strict=True)), ensure_ascii=False) for row in answer.rows)
    return (begin + between.join(objects) + end).encode()


def _parquet(store: Store, statement: str) -> tuple[Encoded, int, bytes]:
    import pyarrow
    import pyarrow.parquet as parquet

    answer = store.encoded(statement, ARROW)
    try:
        with pyarrow.ipc.open_stream(answer.content) as stream:
            rows = stream.read_all()
        _distinct(rows.column_names)
        content = io.BytesIO()
        parquet.write_table(rows, content, compression="zstd")
    except (pyarrow.ArrowException, OSError) as exc:
        raise StackError(f"the rows cannot be written as Parquet: {exc}; write .csv, or cast the column") from exc
    return answer, rows.num_rows, content.getvalue()


def _distinct(columns: Sequence[str]) -> None:
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise StackError(f"two columns are named {', '.join(twice)}: in this format the second would be lost; say `as`")


_Format = Callable[[Store, str], tuple[Rows | Encoded, int, bytes]]
_FORMATS: dict[str, _Format] = {".parquet": _parquet, ".csv": _csv, ".json": _json, ".ndjson": _ndjson}

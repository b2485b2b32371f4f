"""The rows of one unfinished transaction: few in memory, many in a file that vanishes with the process.

A transaction of a million rows is applied at once, so it must be kept until it is whole. Nothing in the file outlives a
crash, nor needs to: the checkpoint's restart offsets lead to the same records in Kafka.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import msgspec

from cdc.change import Change

_WRITE_BUFFER = 1024 * 1024  # bytes

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Change).decode


class Changes(Protocol):
    """Changes of one transaction in the order they were made; may be iterated several times."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Change]: ...


class Rows:
    """Collects a transaction's changes by their place in it, in any order; the later of two in one place wins."""

    def __init__(self, most_in_memory: int, directory: Path | None) -> None:
        """``directory``: where the file goes, made if missing; the system's place for temporary files by default."""
        self._most_in_memory = most_in_memory
        self._directory = directory
        self._in_memory: dict[int, Change] = {}  # by place
        self._in_order, self._last = True, 0  # whether it is in that order, and the place added last
        self._spool: _Spool | None = None
        self.in_memory = 0  #: how many of them are not in the file

    def __len__(self) -> int:
        return len(self._in_memory) if self._spool is None else len(self._spool)

    def __iter__(self) -> Iterator[Change]:
        if self._spool is not None:
            return iter(self._spool)
        if not self._in_order:
            self._in_memory = dict(sorted(self._in_memory.items()))
            self._in_order = True
        return iter(self._in_memory.values())

    def add(self, change: Change) -> bool:
        """Keep a change; False when its place was taken before."""
        if self._spool is not None:
            return self._spool.add(change)
        known = self.in_memory
        if change.order < self._last:
            self._in_order = False
        self._last = change.order
        self._in_memory[change.order] = change
        self.in_memory = len(self._in_memory)
        new = self.in_memory > known
        if self.in_memory > self._most_in_memory:
            self._to_file()
        return new

    def _to_file(self) -> None:
        self._spool = _Spool(self._directory)
        for kept in self._in_memory.values():
            self._spool.add(kept)
        self._in_memory.clear()
        self.in_memory = 0


class _Spool:
    """A file of encoded changes, and by place where in it and how long the newest one is: 12 bytes of memory a row."""

    def __init__(self, directory: Path | None) -> None:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
        self._file = cast("BinaryIO", tempfile.TemporaryFile(dir=directory, buffering=_WRITE_BUFFER))  # noqa: SIM115
        weakref.finalize(self, self._file.close)  # lives as long as the transaction it belongs to
        self._end = 0
        self._starts = array("Q")
        self._lengths = array("I")  # 0: nothing in this place
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, change: Change) -> bool:
        encoded = _encode(change)
        if (missing := change.order + 1 - len(self._starts)) > 0:
            self._starts.frombytes(bytes(missing * self._starts.itemsize))
            self._lengths.frombytes(bytes(missing * self._lengths.itemsize))
        new = self._lengths[change.order] == 0
        self._starts[change.order], self._lengths[change.order] = self._end, len(encoded)
        self._file.write(encoded)
        self._end += len(encoded)
        self._count += new
        return new

    def __iter__(self) -> Iterator[Change]:
        self._file.flush()
        descriptor = self._file.fileno()
        for start, length in zip(self._starts, self._lengths, strict=True):
            if length:
                yield _decode(os.pread(descriptor, length, start))

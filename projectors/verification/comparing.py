"""Compares a store with the source, at positions that make a difference certain, also under load.

Both databases compute checksums of ranges (checksums.py), and only rows of ranges that disagree are looked at. A row is
called different only when the source gave the same row before and after the store's row was read, and the store stood past
the first of those readings (its position was waited for), twice; and equal when the source gave the stored row at one of its
readings from the first to the last. Everything else is read again.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cdc.errors import Transient
from config.settings import Settings
from projectors.checkpoint import lsn_text
from projectors.declaration import StoreName
from projectors.verification.checksums import Checksums
from projectors.verification.oracles import Check, Oracle, Recomputation, recomputing
from projectors.verification.sides import Key, Ranges, Row, Rows, Sides, StoreSide, reading

_CATCH_UP_S = 60.0
_READINGS = 20  # of a row that changes while it is looked at
_HOT = 100  # rows at most that are read all the while
_AT_ONCE = 20_000  # rows looked at again together
_SHOWN = 10  # differing keys in a report


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not what it must be."""

    key: Key
    kind: str  #: missing, unexpected, different
    columns: tuple[str, ...] = ()  #: that differ; of a document its members, ``document.name``
    #: By column, as JSON: what it must be, and what is stored. Values, so for a person's terminal alone.
    expected: Mapping[str, str] | None = None
    stored: Mapping[str, str] | None = None

    @property
    def without_values(self) -> Difference:
        """The same for logs and files."""
        return replace(self, expected=None, stored=None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What comparing one model, or one mirrored table, gave."""

    model: str
    store: StoreName
    rows: int  #: compared, in the source
    differences: int
    first: tuple[Difference, ...]  #: by key
    kinds: Mapping[str, int]  #: missing, unexpected, different; of the rows that a store's answer has room for
    columns: Mapping[str, int]  #: in how many of them each differs
    position: str = "0/0"  #: of the source, at which it was compared


def verify(settings: Settings, check: Check, *, values: bool = False) -> Verdict:
    """Compare; ``values``: the first differing rows are told with their values, where the source has them.

    Raises Transient when a component does not answer, or the store stays behind.
    """
    with reading(settings, check) as sides:
        return compare(sides, check, values=values)


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Of the parts of one table."""
    kinds, columns = Counter[str](), Counter[str]()
    for each in verdicts:
        kinds.update(each.kinds)
        columns.update(each.columns)
    return replace(
        verdicts[-1],
        rows=sum(each.rows for each in verdicts),
        differences=sum(each.differences for each in verdicts),
        first=tuple(row for each in verdicts for row in each.first)[:_SHOWN],
        kinds=dict(kinds),
        columns=dict(columns),
        position=verdicts[0].position,
    )


def compare(sides: Sides, check: Check, *, values: bool = False) -> Verdict:
    """The same on connections that are there."""
    found = _recompute(sides.stores[check.store], check) if isinstance(check, Recomputation) else _compare(sides, check)
    return found if values else replace(found, first=tuple(each.without_values for each in found.first))


def _recompute(store: StoreSide, check: Recomputation) -> Verdict:
    model, position = check.model, store.position()
    found = store.select(recomputing(model, store.columns(model)))
    different = [
        Difference(tuple(row[2:-2]), row[-2], tuple((row[-1] or "").split())) for row in found if row[-2] is not None
    ]
    total, differences = found[0][:2]
    # Counted by the store, whose answer may hold the first of them alone.
    return replace(_verdict(check, total, different, position), differences=differences or 0)


def _compare(sides: Sides, oracle: Oracle) -> Verdict:
    source, store = sides.source, sides.stores[oracle.store]
    expected, lsn = source.checksums(oracle)
    total = sum(count for count, _ in expected.values())
    if not (ranges := _disagreeing(expected, store.checksums(oracle))):
        return _verdict(oracle, total, (), lsn)
    _await(store, lsn, oracle)
    rows, lsn = source.rows(oracle, ranges)
    _await(store, lsn, oracle)
    doubtful = _doubtful(rows, store.rows(oracle, ranges))
    columns = source.columns(oracle)
    different = [difference for keys in _portions(doubtful) for difference in _settled(sides, oracle, keys, columns)]
    return _verdict(oracle, total, different, lsn)


def _disagreeing(expected: Checksums, stored: Checksums) -> Ranges | None:
    found = sorted(part for part in expected.keys() | stored.keys() if expected.get(part) != stored.get(part))
    return Ranges(found) if found else None


def _doubtful(expected: Rows, stored: Rows) -> list[Key]:
    return [key for key in expected.keys() | stored.keys() if expected.get(key) != stored.get(key)]


def _settled(sides: Sides, oracle: Oracle, doubtful: Sequence[Key], columns: Sequence[str]) -> Iterable[Difference]:
    """The certain differences among these rows."""
    source, store = sides.source, sides.stores[oracle.store]
    seen: dict[Key, tuple[Row | None, Row | None]] = {}
    for _ in range(_READINGS):
        if not doubtful:
            return
        before, lsn = source.rows(oracle, doubtful)
        readings = [before]

        def read(doubtful: Sequence[Key] = doubtful, readings: list[Rows] = readings) -> None:
            readings.append(source.rows(oracle, doubtful)[0])

        # A count that every order changes is never the same for long: it is read all the while.
        _await(store, lsn, oracle, read if len(doubtful) <= _HOT else None)
        stored = store.rows(oracle, doubtful)
        read()
        after = readings[-1]
        still: list[Key] = []
        for key in doubtful:
            if any(stored.get(key) == reading.get(key) for reading in readings):
                continue
            # The same twice: a row of the source may have been what is stored just between the two readings of it.
            if before.get(key) == after.get(key) and seen.get(key) == (before.get(key), stored.get(key)):
                yield _difference(key, before.get(key), stored.get(key), columns)
            else:
                seen[key] = before.get(key), stored.get(key)
                still.append(key)
        doubtful = still
    if doubtful:
        raise Transient(f"{oracle.name}: {len(doubtful)} rows change faster than they can be compared; try again")


def _difference(key: Key, expected: Row | None, stored: Row | None, columns: Sequence[str]) -> Difference:
    if expected is None or stored is None:
        return Difference(key, "unexpected" if expected is None else "missing")
    must_be, is_so = dict(_members(columns, expected)), dict(_members(columns, stored))
    differing = tuple(name for name in must_be | is_so if must_be.get(name) != is_so.get(name))
    return Difference(
        key,
        "different",
        differing,
        {name: must_be[name] for name in differing if name in must_be},
        {name: is_so[name] for name in differing if name in is_so},
    )


def _members(columns: Sequence[str], row: Row) -> Iterable[tuple[str, str]]:
    """The values by column; of a document its members one by one."""
    for name, text in zip(columns, row, strict=True):
        if text.startswith("{"):
            for member, value in json.loads(text).items():
                yield f"{name}.{member}", json.dumps(value, sort_keys=True)
        else:
            yield name, text


def _verdict(check: Check, total: int, different: Sequence[Difference], position: int) -> Verdict:
    kinds = Counter(each.kind for each in different)
    return Verdict(
        model=check.name,
        store=check.store,
        rows=total,
        differences=len(different),
        first=tuple(sorted(different, key=lambda each: repr(each.key))[:_SHOWN]),
        kinds=dict(sorted(kinds.items())),
        columns=dict(sorted(Counter(name for each in different for name in each.columns).items())),
        position=lsn_text(position),
    )


def _await(store: StoreSide, lsn: int, oracle: Oracle, meanwhile: Callable[[], None] | None = None) -> None:
    """Until the store stands there; ``meanwhile`` is called again and again."""
    deadline = time.monotonic() + _CATCH_UP_S
    while (position := store.position()) < lsn:
        if time.monotonic() > deadline:
            raise Transient(
                f"the {oracle.store} store is at {lsn_text(position)} and has not reached {lsn_text(lsn)} "
                f"in {_CATCH_UP_S:.0f} s; see `readside status`"
            )
        if meanwhile is None:
            time.sleep(0.05)
        else:
            meanwhile()
            time.sleep(0.005)


def _portions(keys: Sequence[Key]) -> Iterable[Sequence[Key]]:
    return (keys[begin : begin + _AT_ONCE] for begin in range(0, len(keys), _AT_ONCE))

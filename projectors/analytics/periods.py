"""A range of time cut into whole periods, the longest first, and what is left over at its two ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Period:
    """A kind of period of the calendar, in UTC."""

    name: str
    start_of: Callable[[datetime], datetime]  #: of the one that a moment lies in
    #: From the start of any of them, this leads into the next one.
    step: timedelta


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a range: whole periods of one kind, or none in full (``of`` is None). None: without a bound."""

    of: Period | None
    since: datetime | None
    until: datetime | None  #: excluded


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


HOUR = Period("hour", lambda at: at.replace(minute=0, second=0, microsecond=0), timedelta(hours=1))
DAY = Period("day", _midnight, timedelta(days=1))
MONTH = Period("month", lambda at: _midnight(at).replace(day=1), timedelta(days=31))
QUARTER = Period(
    "quarter", lambda at: _midnight(at).replace(month=(at.month - 1) // 3 * 3 + 1, day=1), timedelta(days=92)
)


def cut(since: datetime | None, until: datetime | None, periods: Sequence[Period]) -> Iterator[Piece]:
    """Pieces, in order, that together are the range; of each kind at most two, what is left over among them.

    ``since`` and ``until`` (excluded) are in UTC, None for no bound; ``periods``: the kinds, each made of whole ones of the
    next.
    """
    if since is not None and until is not None and since >= until:
        return
    if not periods:
        yield Piece(None, since, until)
        return
    first, rest = periods[0], periods[1:]
    start = None if since is None else _first_from(first, since)
    end = None if until is None else first.start_of(until)
    if (since is not None and start is None) or (start is not None and end is not None and start >= end):
        yield from cut(since, until, rest)
        return
    if start is not None:
        yield from cut(since, start, rest)
    yield Piece(first, start, end)
    if end is not None:
        yield from cut(end, until, rest)


def _first_from(period: Period, at: datetime) -> datetime | None:
    """The start of the first one that does not begin before; None when the calendar ends earlier."""
    start = period.start_of(at)
    try:
        return start if start == at else period.start_of(start + period.step)
    except OverflowError:
        return None

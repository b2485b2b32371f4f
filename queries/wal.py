"""Looks at the replication slot: the WAL that it keeps, how fast that grows, and how long until there is no room for it."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from config.settings import Settings
from queries.probes import connected

SECOND_LOOK_S = 0.2  # after a process's first look, which tells no trend
WINDOW_S = 60.0  # of looks: PostgreSQL lets WAL go some ten seconds after the slot did, and not byte by byte


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """What two looks at a slot tell."""

    #: Seconds between them.
    over_s: float
    written_bytes_per_s: float
    #: Of what the server keeps for the slot; below zero while it falls.
    growth_bytes_per_s: float

    def time_to_full_s(self, room_bytes: int | None) -> float | None:
        """Seconds until so many bytes are used up; None when they are not known, or will not be."""
        if room_bytes is None or self.growth_bytes_per_s <= 0:
            return None
        return max(0, room_bytes) / self.growth_bytes_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The replication slot, as the captured database shows it."""

    active: bool
    wal_status: str | None
    #: WAL that the server must keep for the slot.
    retained_bytes: int | None
    #: WAL written since what the slot's consumer has confirmed.
    unconfirmed_bytes: int | None
    #: WAL that may still be written before the slot is lost; None without a limit.
    safe_bytes: int | None
    #: Room on the server's disk; None where it is not of this machine.
    free_bytes: int | None = None
    #: None at a process's first look.
    trend: Trend | None = None
    #: How far the server's clock is ahead of ours, in seconds.
    clock_ahead_s: float = 0.0

    @property
    def room_bytes(self) -> int | None:
        """WAL that may still be written before the slot is lost or the disk is full."""
        return min((each for each in (self.safe_bytes, self.free_bytes) if each is not None), default=None)


class Looks:
    """The looks at one slot, of a process that looks again and again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: deque[tuple[float, int, int]] = deque()

    def noted(self, written: int, retained: int) -> Trend | None:
        """Note a look: all that the server has ever written, and what it keeps; the trend since an earlier look."""
        now = self._clock()
        with self._lock:
            while len(self._seen) > 1 and self._seen[1][0] <= now - WINDOW_S:
                self._seen.popleft()
            self._seen.append((now, written, retained))
            began, written_then, retained_then = self._seen[0]
        over_s = now - began
        if over_s <= 0 or written < written_then:  # the first look, or another server stands there now
            return None
        return Trend(
            over_s=over_s,
            written_bytes_per_s=(written - written_then) / over_s,
            growth_bytes_per_s=(retained - retained_then) / over_s,
        )


@cache
def looks_at(dsn: str, slot: str) -> Looks:
    """The one `Looks` of this process for a slot."""
    return Looks()


def slot(settings: Settings) -> Slot | None:
    """The slot on the captured database, which the settings name; None when there is none."""
    assert settings.source_dsn is not None
    dsn = settings.source_dsn.get_secret_value()
    looks = looks_at(dsn, settings.slot)
    with connected(dsn) as conn:
        if (seen := _slot(conn, settings, looks)) is not None and seen.trend is None:
            time.sleep(SECOND_LOOK_S)
            seen = _slot(conn, settings, looks)
    return seen


def _slot(conn: psycopg.Connection[Any], settings: Settings, looks: Looks) -> Slot | None:
    began = time.time()
    row = conn.execute(
        """
        select active,
               wal_status,
               pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint,
               pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
               safe_wal_size,
               pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint,
               extract(epoch from clock_timestamp())::float8
          from pg_replication_slots
         where slot_name = %(name)s
        """,
        {"name": settings.slot},
    ).fetchone()
    if row is None:
        return None
    active, wal_status, retained, unconfirmed, safe, written, clock = row
    return Slot(
        active=active,
        wal_status=wal_status,
        retained_bytes=retained,
        unconfirmed_bytes=unconfirmed,
        safe_bytes=safe,
        free_bytes=_free_bytes(settings),
        trend=None if retained is None else looks.noted(written, retained),
        clock_ahead_s=clock - (began + time.time()) / 2,
    )


def _free_bytes(settings: Settings) -> int | None:
    """Room on the disk of the native stack's PostgreSQL, if the captured database is there."""
    where = settings.data_dir / "postgres"
    source = conninfo_to_dict(settings.source_dsn.get_secret_value()) if settings.source_dsn else {}
    if f"{source.get('host')}:{source.get('port')}" != settings.postgres_address or not where.is_dir():
        return None
    return shutil.disk_usage(where).free

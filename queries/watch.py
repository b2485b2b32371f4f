"""Wakes waiting reads when the store moves: one connection listens for the projector's commits, for all of them."""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from projectors.checkpoint import lsn_text, lsn_value
from queries import metrics
from queries.freshness import Freshness
from queries.tokens import Token

logger = logging.getLogger(__name__)

CHANNEL = "readside_checkpoint"
REREAD_S = 1.0  # while anyone waits, a lost notification delays a wake by no more than this
_REMEMBERED_COMMITS = 256
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)

# With `wanted(xid, lsn)` and the checkpoint as `c`. A transaction applied lately is there before `end_lsn` passes the
# token's LSN, which on an idle system takes a pulse. Its end must not lie behind the token's LSN: it would be a later
# transaction of the same 32-bit id. An earlier one would have to be 2^32 transactions old, long pruned.
COVERED = """(
    wanted.lsn is null
    or c.end_lsn >= wanted.lsn
    or exists (
        select 1
          from readside.recent_transactions r
         where r.xid = wanted.xid
           and r.end_lsn <= wanted.lsn
    )
)"""

_REACHED = sql.SQL(
    """
    select wanted.place
      from unnest(%(xids)s::bigint[], %(lsns)s::text[]::pg_lsn[]) with ordinality as wanted(xid, lsn, place)
      join readside.checkpoint c on c.store = 'serving'
     where {covered}
    """
).format(covered=sql.SQL(COVERED))


@dataclass(eq=False, slots=True)
class Interest:
    """One read that may have to wait; ``wake`` is called, from the listening thread, when reading again is worth it."""

    #: None wakes at every commit: what is waited for is a row's version.
    token: Token | None
    wake: Callable[[], object]


@dataclass(frozen=True, slots=True)
class _Heard:
    """What a commit's notification tells: the store's position, and the transactions just applied if they are named."""

    end_lsn: int
    xids: frozenset[int] | None


class Watch:
    """The listening thread. Waking is a hint: the read that follows proves in its own statement what it contains."""

    def __init__(self, dsn: str) -> None:
        self.freshness = Freshness()
        self._dsn = dsn
        self._position = 0  # end LSN last heard; 0 while nobody listens
        self._applied: deque[frozenset[int]] = deque(maxlen=_REMEMBERED_COMMITS)
        self._interests: set[Interest] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._bell, self._ear = socket.socketpair()  # interrupts the wait for the store, to stop at once
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to listen; the store need not be there yet."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._bell.send(b"x")
        self._thread.join()
        self._bell.close()
        self._ear.close()

    def surely_without(self, token: Token) -> bool:
        """Whether the store cannot contain this write yet, by what was heard of it. False when in doubt."""
        with self._lock:
            if self._position == 0 or lsn_value(token.lsn) <= self._position:
                return False
            return all(token.xid not in xids for xids in self._applied)

    @contextmanager
    def interest(self, token: Token | None, wake: Callable[[], object]) -> Generator[None]:
        """Register before reading: then no commit after that read's snapshot goes unheard. ``wake`` must not block."""
        interest = Interest(token, wake)
        with self._lock:
            self._interests.add(interest)
        try:
            yield
        finally:
            with self._lock:
                self._interests.discard(interest)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                with psycopg.connect(
                    self._dsn,
                    autocommit=True,
                    application_name="readside-queries-watch",
                    connect_timeout=2,
                    keepalives_idle=5,
                    keepalives_interval=2,
                    keepalives_count=3,
                ) as conn:
                    conn.execute(f"listen {CHANNEL}")
                    failures = 0
                    metrics.LISTENING.set(1)
                    self._follow(conn)
            except psycopg.Error as error:
                metrics.LISTENING.set(0)
                with self._lock:
                    self._position = 0
                pause_s = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
                failures += 1
                logger.warning(
                    "lost the connection that hears the projector's commits; reconnecting",
                    extra={"action": "watch_lost", "error": type(error).__name__, "retry_s": pause_s},
                )
                self._stopping.wait(pause_s)
        metrics.LISTENING.set(0)

    def _follow(self, conn: psycopg.Connection[Any]) -> None:
        self._wake(conn)
        while not self._stopping.is_set():
            # A notification that came in during the last statement is in psycopg's hands, not on the socket.
            heard = _heard(conn)
            if not heard:
                select.select([conn, self._ear], [], [], REREAD_S)
                heard = _heard(conn)
            if heard and all(one.xids is not None for one in heard):
                self._tell(heard)
            else:
                self._wake(conn)
            if heard:  # after the waking, which others wait for
                self.freshness.hear(conn, lsn_text(heard[-1].end_lsn))

    def _tell(self, heard: list[_Heard]) -> None:
        """Wake those whose token the commits just heard of reach, without asking the store."""
        with self._lock:
            self._position = heard[-1].end_lsn
            self._applied.extend(one.xids for one in heard if one.xids is not None)
            for interest in self._interests:
                if interest.token is None or _reached(interest.token, heard):
                    interest.wake()

    def _wake(self, conn: psycopg.Connection[Any]) -> None:
        """Wake those whose token the store now contains: one statement, however many wait."""
        with self._lock:
            waiting = list(self._interests)
        for interest in waiting:
            if interest.token is None:
                interest.wake()
        tokens = [(interest, interest.token) for interest in waiting if interest.token is not None]
        if not tokens:
            return
        reached = conn.execute(
            _REACHED, {"xids": [token.xid for _, token in tokens], "lsns": [token.lsn for _, token in tokens]}
        )
        for (place,) in reached:
            tokens[place - 1][0].wake()


def _reached(token: Token, heard: list[_Heard]) -> bool:
    by_name = any(token.xid in one.xids for one in heard if one.xids is not None)
    return by_name or lsn_value(token.lsn) <= heard[-1].end_lsn


def _heard(conn: psycopg.Connection[Any]) -> list[_Heard]:
    """Take in what was notified so far, without waiting. A payload is ``end_lsn``, a blank, ``xid,xid,…``."""
    heard: list[_Heard] = []
    for notify in conn.notifies(timeout=0):
        end_lsn, named, xids = notify.payload.partition(" ")
        heard.append(_Heard(lsn_value(end_lsn), frozenset(map(int, xids.split(","))) if named else None))
    return heard

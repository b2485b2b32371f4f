"""Who may write to the serving store: the projector with the newest epoch, and nobody takes it from one that lives.

The epoch alone keeps a replaced projector from committing. But two that both restart would replace each other for
ever, so each also holds an advisory lock named by its epoch for as long as its session lasts: who finds the lock of the
newest epoch held waits, and gives up, unless the holder has been silent for so long that it must be paused or cut off.
Its session is then ended (docs/decisions/0013), for it may hold the checkpoint's row inside a transaction.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import psycopg

from cdc.errors import Fenced

logger = logging.getLogger(__name__)

SILENT_S = 10.0  #: after which a holder counts as gone; a living one is heard from every HEARD_S
HEARD_S = 2.0
_PATIENCE_S = SILENT_S + 1.0
_LOCK_CLASS = 0x52454144  # "READ"


@dataclass(frozen=True, slots=True)
class _Holder:
    pid: int
    where: str
    gone: bool


def await_turn(connection: psycopg.Connection[Any], store: str) -> None:
    """Return when no living projector holds the store. Raises Fenced when one goes on holding it."""
    deadline = time.monotonic() + _PATIENCE_S
    while (holder := _holder(connection, store)) is not None:
        if holder.gone:
            logger.warning(
                "a silent projector's session is ended", extra={"action": "projector_replaced", "pid": holder.pid}
            )
            connection.execute("select pg_terminate_backend(%(pid)s, 5000)", {"pid": holder.pid})
        elif time.monotonic() > deadline:
            raise Fenced(
                f"another projector holds the {store} store: session {holder.pid} from {holder.where}; stop that one, or "
                "this one"
            )
        else:
            time.sleep(0.1)


def hold(connection: psycopg.Connection[Any], epoch: int) -> None:
    """Take the lock of one's own epoch until the session ends."""
    connection.execute("select pg_advisory_lock(%(class)s, %(epoch)s::int)", {"class": _LOCK_CLASS, "epoch": epoch})


def _holder(connection: psycopg.Connection[Any], store: str) -> _Holder | None:
    if connection.execute("select to_regclass('readside.checkpoint')").fetchone() == (None,):
        return None
    row = connection.execute(
        """
        select a.pid, coalesce(host(a.client_addr), 'this machine') || ':' || coalesce(a.client_port, 0),
               -- Waiting for its client for that long, whether or not inside a transaction.
               coalesce(a.wait_event = 'ClientRead' and a.state_change < now() - make_interval(secs => %(silent_s)s), false)
          from readside.checkpoint c
          join pg_locks l on l.locktype = 'advisory' and l.granted and l.objsubid = 2
                         and l.classid = %(class)s and l.objid = c.epoch
                         and l.database = (select oid from pg_database where datname = current_database())
          join pg_stat_activity a on a.pid = l.pid
         where c.store = %(store)s and a.pid <> pg_backend_pid()
        """,
        {"class": _LOCK_CLASS, "store": store, "silent_s": SILENT_S},
    ).fetchone()
    return None if row is None else _Holder(*row)

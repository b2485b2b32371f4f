"""Documents by id, read in batches: one statement brings all that were asked for while the last one ran.

A read waits on the event loop and holds no thread; one thread asks the store. Alone, a read is one statement of its own.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from psycopg import sql

from queries import metrics
from queries.store import Snapshot, Store, fetched, incomplete_of, require_filled, stale_read, too_many_waiting
from queries.tokens import Demand
from queries.watch import COVERED

_BATCH = 500  # documents in one statement


@dataclass(frozen=True, slots=True)
class View:
    """What is read of a read model."""

    model: str
    #: The column that is shown.
    shown: str = "document"
    #: The column that tells whose a row is; empty where nobody asks.
    owner: str = ""
    #: Further columns of the row, which become members of the document under their names.
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    view: View
    key: int | None
    owner: int | None
    demand: Demand
    future: asyncio.Future[Snapshot]
    until_met: bool  # whether an answer that does not meet the demand is waited past

    def met(self, snapshot: Snapshot) -> bool:
        wanted = self.demand.min_version
        return snapshot.covered and (wanted is None or (_version(snapshot) or 0) >= wanted)


_Answers = list[tuple[_Read, "Snapshot | Exception"]]


class Documents:
    """Reads rows of ``read_models.M (id, version, …)`` by id; lives as long as the server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked: queue.SimpleQueue[_Read | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="documents", daemon=True)

    def start(self) -> None:
        """Begin; called on the event loop that will read."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._asked.put(None)
        self._thread.join()

    async def read(self, view: View, key: int | None, demand: Demand, owner: int | None = None) -> Snapshot:
        """The one row (version, document), or one of nulls, as soon as what was seen meets the demand.

        With an ``owner``, other people's rows are not there, for the demand and its waiting neither.
        Raises the problem ``stale-read`` when the demand's time is over, unless the caller takes stale answers.
        """
        if not demand.anything:
            return await self._ask(self._new(view, key, demand, owner))
        waiting = self._new(view, key, demand, owner, until_met=True)
        with self._store.watch.interest(demand.waited_for, lambda: self._asked.put(waiting)):
            # A write that was just made is seldom there yet: asking for it in vain costs as much as reading it.
            if demand.token is None or not self._store.watch.surely_without(demand.token):
                snapshot = await self._ask(self._new(view, key, demand, owner))
                if waiting.met(snapshot):
                    return snapshot
            with self._store.waiters.entered() as room:
                if room and (met := await _within(demand.wait_s, waiting.future)):
                    return met
        snapshot = await self._ask(self._new(view, key, demand, owner))
        if waiting.met(snapshot):
            return snapshot
        metrics.STALE.labels("serving").inc()
        if demand.allow_stale:
            return replace(snapshot, stale=True)
        raise stale_read(snapshot, demand, _version(snapshot)) if room else too_many_waiting()

    def _new(self, view: View, key: int | None, demand: Demand, owner: int | None, *, until_met: bool = False) -> _Read:
        return _Read(view, key, owner, demand, self._loop.create_future(), until_met)

    async def _ask(self, read: _Read) -> Snapshot:
        self._asked.put(read)
        return await read.future

    def _run(self) -> None:
        while (first := self._asked.get()) is not None:
            reads = [first]
            while len(reads) < _BATCH:
                try:
                    another = self._asked.get_nowait()
                except queue.Empty:
                    break
                if another is None:
                    self._asked.put(None)
                    break
                reads.append(another)
            self._loop.call_soon_threadsafe(_deliver, self._answers(reads))

    def _answers(self, reads: Iterable[_Read]) -> _Answers:
        answers: _Answers = []
        by_view: dict[View, list[_Read]] = {}
        for read in reads:
            by_view.setdefault(read.view, []).append(read)
        for view, asked in by_view.items():
            try:
                answers += zip(asked, self._fetch(view, asked), strict=True)
            except Exception as exc:  # whatever it is belongs to the requests, and the thread serves the next ones
                answers += [(read, exc) for read in asked]
        return answers

    def _fetch(self, view: View, reads: Sequence[_Read]) -> list[Snapshot]:
        tokens = [read.demand.token for read in reads]
        parameters: Mapping[str, object] = {
            "keys": [read.key for read in reads],
            "owners": [read.owner for read in reads],
            "xids": [token.xid if token else None for token in tokens],
            "lsns": [token.lsn if token else None for token in tokens],
        }
        with self._store.pool.connection() as conn:
            rows = fetched(conn, _statement(view), parameters)
        require_filled(rows)
        return [
            Snapshot(as_of=as_of, end_lsn=end_lsn, covered=covered, incomplete=incomplete, rows=[(version, document)])
            for _, as_of, end_lsn, covered, incomplete, version, document in rows
        ]


@lru_cache(maxsize=100)  # composing it takes longer than sending it
def _statement(view: View) -> bytes:
    theirs: sql.Composable = sql.SQL("")
    if view.owner:
        theirs = sql.SQL("and (wanted.owner is null or m.{} = wanted.owner)").format(sql.Identifier(view.owner))
    return (
        sql.SQL(
            """
        select c.phase, c.committed_at, c.end_lsn::text, {covered}, {incomplete}, m.version, {shown}
          from readside.checkpoint c
         cross join unnest(%(keys)s::bigint[], %(owners)s::bigint[], %(xids)s::bigint[], %(lsns)s::text[]::pg_lsn[])
               with ordinality as wanted(key, owner, xid, lsn, place)
          left join {model} m on m.id = wanted.key {theirs}
         where c.store = 'serving'
         order by wanted.place
        """
        )
        .format(
            covered=sql.SQL(COVERED),
            incomplete=incomplete_of(view.model),
            shown=_shown(view),
            model=sql.Identifier("read_models", view.model),
            theirs=theirs,
        )
        .as_bytes()
    )


def _shown(view: View) -> sql.Composable:
    """The document as text; a member is put in as text too, which costs less than to make one document of both."""
    shown: sql.Composable = sql.SQL("m.{}::text").format(sql.Identifier(view.shown))
    if not view.members:
        return shown
    parts = [
        sql.SQL("{} || coalesce(m.{}::text, 'null')").format(sql.Literal(f', "{name}": '), sql.Identifier(name))
        for name in view.members
    ]
    return sql.SQL("left({}, -1) || {} || '}}'").format(shown, sql.SQL(" || ").join(parts))


def _deliver(answers: _Answers) -> None:
    for read, answer in answers:
        if read.future.done():  # woken twice, or nobody waits any more
            continue
        if isinstance(answer, Exception):
            read.future.set_exception(answer)
        elif not read.until_met or read.met(answer):
            read.future.set_result(answer)


async def _within(seconds: float, future: asyncio.Future[Snapshot]) -> Snapshot | None:
    with metrics.waiting("serving"):
        done, _ = await asyncio.wait((future,), timeout=seconds)
    return future.result() if done else None


def _version(snapshot: Snapshot) -> int | None:
    return snapshot.rows[0][0]

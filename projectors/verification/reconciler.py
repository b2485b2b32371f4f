"""The background verification: round after round, every mirrored table against the source and every model against its own
query, some rows at a time, with a bound on the time that it spends in queries of the source.

Each reading of the source is one short transaction: a snapshot that is held for long keeps PostgreSQL from vacuuming. No
value of a row is logged or stored.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing

import httpx
import psycopg

from cdc.catalog import Table, read_tables
from cdc.errors import Fatal, ReadsideError, Transient
from cdc.snapshots import source_dsn
from config.settings import Settings
from projectors import registry
from projectors.read_model import ReadModel
from projectors.rollup import Rollup
from projectors.verification import results
from projectors.verification.comparing import Verdict, compare, together
from projectors.verification.oracles import Bound, Recomputation, is_sliced, next_bound, oracle_of_table
from projectors.verification.repairing import ask_rebuild, ask_snapshot, is_rebuilt
from projectors.verification.sides import Sides, reading

logger = logging.getLogger(__name__)

_ROWS = 20_000  # of a table, compared at once
_ATTEMPTS = 2  # repairs of one table or model; what differs after them is left to a person
_AGAIN_S = 5.0  # after a round that was broken off


class Reconciler:
    """Runs until it is stopped; ``run`` is the only method to call."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        declarations = registry.load(settings.models)
        serving = declarations.of_store("serving")
        # The rollups too: what reads one that drifted is computed from it, and shows nothing.
        self._declared = serving.maintained
        self._analytics = declarations.of_store("analytics").maintained
        self._fingerprints = serving.fingerprints()
        self._rounds = 0
        self._attempts: Counter[str] = Counter()
        self._asked_at: int | None = None  # the generation of the snapshot that was to be replaced

    def run(self) -> None:
        """Verify, round after round."""
        while not self._stop.is_set():
            began = time.monotonic()
            pause_s = self._settings.verify_interval_s
            try:
                self._round()
            except (ReadsideError, psycopg.Error, httpx.HTTPError) as exc:
                # Whatever is not there now is somebody else's to tell.
                logger.info("a round of verification is broken off", extra={"action": "verify_waits", "why": _why(exc)})
                pause_s = min(pause_s, _AGAIN_S)
            self._stop.wait(max(0.0, pause_s - (time.monotonic() - began)))

    def _round(self) -> None:
        tables = read_tables(source_dsn(self._settings), self._settings.publication, self._settings.tables)
        with reading(self._settings) as sides, closing(results.connected(self._settings)) as store:
            results.prepare(store)
            # What serves is another version: it is being built anew, or was rolled back.
            otherwise = results.built_otherwise(store, self._fingerprints)
            names = [model.name for model in (*self._declared, *self._analytics) if model.name not in otherwise]
            results.keep_only(store, [f"mirror.{table.mirror}" for table in tables] + names)
            excused = results.excused(store)
            lost = self._tables(sides, store, [table for table in tables if table.qualified not in excused])
            wrong = self._models(sides, store, otherwise.keys())
            if self._settings.verify_repair and not self._stop.is_set():
                self._repair(store, lost, wrong)

    def _tables(self, sides: Sides, store: results.Connection, tables: Sequence[Table]) -> list[Verdict]:
        found: list[Verdict] = []
        for table in tables:
            verdict = self._table(sides, table)
            if verdict is not None and not (verdict.differences and table.qualified in results.excused(store)):
                self._note(store, verdict)
                found.append(verdict)
        return [verdict for verdict in found if verdict.differences]

    def _table(self, sides: Sides, table: Table) -> Verdict | None:
        """A table, some of its rows at a time; None when this was stopped meanwhile."""
        parts: list[Verdict] = []
        after: Bound | None = None
        while not self._stop.is_set():
            spent_s = sides.source.spent_s
            upto: Bound | None = None
            if is_sliced(table) and (rows := sides.source.select(*next_bound(table, after, _ROWS))):
                upto = [str(value) for value in rows[0]]
            parts.append(compare(sides, oracle_of_table(table, after, upto)))
            self._rest(sides.source.spent_s - spent_s)
            if upto is None:
                return together(parts)
            after = upto
        return None

    def _models(self, sides: Sides, store: results.Connection, otherwise: Collection[str]) -> list[Verdict]:
        found: list[Verdict] = []
        for model in self._due():
            if self._stop.is_set() or model.name in otherwise:
                continue
            began = time.monotonic()
            try:
                side = sides.stores[model.store]
                if model.name in side.incomplete():
                    continue
                verdict = compare(sides, Recomputation(model))
                if verdict.differences and model.name in side.incomplete():
                    continue
            except (Fatal, Transient, psycopg.ProgrammingError, psycopg.DataError, httpx.HTTPError) as exc:
                # Too large for the limits of ad hoc SQL, not built yet, or its store is not there; the others are verified.
                logger.info(
                    "a model is not verified in this round",
                    extra={"action": "verify_skipped", "model": model.name, "why": _why(exc)},
                )
                continue
            self._note(store, verdict)
            found.append(verdict)
            self._rest(time.monotonic() - began)
        return [verdict for verdict in found if verdict.differences]

    def _due(self) -> Sequence[ReadModel | Rollup]:
        """What is looked at in this round: of the analytics store one, where each takes a process of its own."""
        self._rounds += 1
        one = self._rounds % (len(self._analytics) or 1)
        return [*self._declared, *self._analytics[one : one + 1]]

    def _note(self, store: results.Connection, verdict: Verdict) -> None:
        results.note(store, verdict)
        if not verdict.differences:
            self._attempts.pop(verdict.model, None)
            return
        logger.warning(
            "rows differ; `readside verify` shows which, `readside verify --repair` makes them equal",
            extra={
                "action": "difference_found",
                "model": verdict.model,
                "store": verdict.store,
                "differences": verdict.differences,
                "kinds": dict(verdict.kinds),
                "columns": sorted(verdict.columns),
                "end_lsn": verdict.position,
            },
        )

    def _repair(self, store: results.Connection, lost: Sequence[Verdict], wrong: Sequence[Verdict]) -> None:
        """Ask for a snapshot where the mirror is wrong; where it is right, for models to be built anew from it."""
        if lost:
            generation = results.generation(store)
            if generation != self._asked_at and (names := self._untried(lost)):
                ask_snapshot(self._settings)
                self._asked_at = generation
                self._attempts.update(names)
                logger.warning("a snapshot is asked for", extra={"action": "repair_asked", "tables": names})
        elif names := self._untried([verdict for verdict in wrong if is_rebuilt(verdict.store)]):
            rebuild = ask_rebuild(self._settings, store, names)
            self._attempts.update(names)
            logger.warning(
                "models are built anew", extra={"action": "repair_asked", "models": names, "rebuild": rebuild}
            )

    def _untried(self, verdicts: Sequence[Verdict]) -> list[str]:
        """Those that are to be repaired once more."""
        return [verdict.model for verdict in verdicts if self._attempts[verdict.model] < _ATTEMPTS]

    def _rest(self, spent_s: float) -> None:
        share = self._settings.verify_share
        self._stop.wait(spent_s * (1 - share) / share)


def _why(exc: Exception) -> str:
    # A database's own message may hold values.
    return str(exc) if isinstance(exc, ReadsideError) else type(exc).__name__

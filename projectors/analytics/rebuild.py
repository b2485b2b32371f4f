"""Declared tables of the analytics store computed anew in one transaction: until it commits, the old rows are read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from projectors.analytics.connection import Connection
from projectors.analytics.relation import Relation


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed:
    """What a table's rebuild came to."""

    rows: int
    added: int  #: rows that the former lacked, or had otherwise
    removed: int  #: rows of the former that are not there any more, or otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """One that was asked for."""

    id: int
    names: tuple[str, ...]  #: as asked for; whatever reads them is computed too
    state: Literal["asked", "building", "done", "failed"] = "asked"
    tables: Mapping[str, Recomputed] = field(default_factory=dict[str, Recomputed])
    why: str = ""


class Rebuilds:
    """The latest one. Any thread asks and looks; the writing thread does it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: Rebuild | None = None

    @property
    def latest(self) -> Rebuild | None:
        """What was asked for last, and how far it is."""
        with self._lock:
            return self._latest

    def ask(self, names: Collection[str]) -> Rebuild | None:
        """Have these computed anew; None while another one is under way."""
        with self._lock:
            if self._latest is not None and self._latest.state in ("asked", "building"):
                return None
            self._latest = Rebuild(id=self._latest.id + 1 if self._latest else 1, names=tuple(sorted(names)))
            return self._latest

    def take_up(self, work: Callable[[Rebuild], Mapping[str, Recomputed]]) -> bool:
        """Do what was asked for; whether anything was. An error is noted and raised."""
        with self._lock:
            if self._latest is None or self._latest.state != "asked":
                return False
            asked = self._latest = replace(self._latest, state="building")
        try:
            tables = work(asked)
        except BaseException as exc:
            self._note(replace(asked, state="failed", why=str(exc).partition("\n")[0]))
            raise
        self._note(replace(asked, state="done", tables=tables))
        return True

    def _note(self, rebuild: Rebuild) -> None:
        with self._lock:
            self._latest = rebuild


def compared(connection: Connection, relation: Relation, compute: Callable[[], None]) -> Recomputed:
    """Compute a table anew and say what that changed in it."""
    connection.execute(f"create or replace temporary table former as select {relation.names} from {relation.stored}")
    compute()
    counts = connection.execute(f"""
        select (select count(*) from {relation.stored}),
               (select count(*) from (select {relation.names} from {relation.stored} except all from former)),
               (select count(*) from (from former except all select {relation.names} from {relation.stored}))
    """).fetchall()[0]
    connection.execute("drop table former")
    return Recomputed(rows=counts[0], added=counts[1], removed=counts[2])

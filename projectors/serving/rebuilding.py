"""Builds the next versions of declared tables beside those that serve, some keys at a time, between two batches.

A next version is kept up from the moment its table is made, as every declared table is: what a batch touches is computed
there too. What nobody touches is computed key by key, from a list of the keys there were. A row is a function of the mirror
as it stands, so neither order nor repetition matters, and when the list has ended the table is what its query says.
What takes long and needs no fence, listing the keys and making indexes, is done beside it on a connection of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from cdc.errors import Fatal
from projectors.declaration import NEXT, base_of, listed
from projectors.read_model import History, ReadModel
from projectors.refusal import Undo
from projectors.rollup import Rollup
from projectors.serving import rebuilds
from projectors.serving.aside import Aside, CannotBuild, end_orphans
from projectors.serving.building import count_next
from projectors.serving.kept import Kept
from projectors.serving.mirror_indexes import mirror_index_statements
from projectors.serving.rebuilds import Candidate, Policy, Rebuild
from projectors.serving.refresh import keys_statement, slice_statement
from projectors.serving.schema import forget, indexes_statements, make_next, prepare_extensions
from projectors.serving.statements import Statements
from projectors.serving.swapping import roll_back, swap
from projectors.versions import Version

logger = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]

SLICE_S = 0.2  #: what a slice is to take: for so long a commit may have to wait
LOOK_S = 0.5  #: between two looks at what operators want
_FEWEST, _MOST = 500, 200_000  # keys of a slice


class Rebuilding:
    """The rebuild of a serving store, a step at a time. Called by the thread that owns the store."""

    def __init__(
        self,
        dsn: str,
        policy: Policy,
        *,
        transaction: Callable[[], AbstractContextManager[None]],
        take_up: Callable[[], None],
    ) -> None:
        """``transaction``: opens a fenced one of the store; ``take_up``: has the store keep up other versions."""
        self._dsn = dsn
        self._policy = policy
        self._transaction = transaction
        self._take_up = take_up
        self._rebuild: Rebuild | None = None
        self._candidates: dict[str, Candidate] = {}
        self._aside: Aside | None = None
        self._size = _FEWEST
        self._looked_at = 0.0

    @property
    def goes_on(self) -> bool:
        """Whether one is under way that waits for nobody's word."""
        return self._rebuild is not None and (self._rebuild.state != "built" or self._rebuild.swaps)

    def resume(self, connection: Connection, kept: Kept) -> None:
        """In the transaction in which the store takes up its versions: begin or go on with what is to be built anew."""
        rebuild = rebuilds.under_way(connection)
        renewed = kept.versions.renewed
        if self._aside is None:  # what is running is then of a projector that is gone
            end_orphans(connection)
        wanted = {name: version.fingerprint for name, version in renewed.items()}
        if rebuild is not None and rebuild.state != "asked" and rebuild.fingerprints != wanted:
            self._discard(connection)
            rebuilds.outdate(connection, rebuild.id)
            rebuild = None
        if renewed and (rebuild is None or rebuild.state == "asked"):
            self._discard(connection)
            rebuilds.begin(connection, renewed, swaps=self._policy.swaps, rebuild=rebuild)
        self._reread(connection)

    def step(self, connection: Connection, kept: Kept, statements: Statements) -> bool:
        """Do what is next, for about SLICE_S; False when there is nothing to do at once."""
        if time.monotonic() - self._looked_at > LOOK_S and self._look(connection, kept):
            return True
        rebuild = self._rebuild
        if rebuild is None or rebuild.state != "building":
            return False
        try:
            return self._build(connection, kept, statements, rebuild)
        except CannotBuild as exc:
            self._end(connection, rebuild, "failed", str(exc))
            return True

    def _build(self, connection: Connection, kept: Kept, statements: Statements, rebuild: Rebuild) -> bool:
        for name in rebuild.names:
            candidate = self._candidates.get(name)
            version = kept.versions.renewed[name]
            if candidate is None:
                return self._begin(connection, statements, version, name, rebuild)
            if still := kept.next_standing_still(rebuild.names):
                raise CannotBuild(still)
            if candidate.state != "built":
                return self._advance(connection, statements, candidate, version)
        with self._transaction():
            rebuilds.move(connection, rebuild.id, "built")
        logger.info("rebuild is built", extra={"action": "rebuild_built", "models": list(rebuild.names)})
        self._reread(connection)
        return True

    def _begin(
        self, connection: Connection, statements: Statements, version: Version, name: str, rebuild: Rebuild
    ) -> bool:
        assert not isinstance(version.declaration, History)
        if lacking := version.declaration.sources - statements.relations.keys():
            raise CannotBuild(f"{name} reads {listed(lacking)}, which stands still")
        if isinstance(version.declaration, ReadModel) and not self._mirror_indexed(connection, version.declaration):
            return False
        logger.info("building a next version", extra={"action": "rebuild_begun", "model": name})

        def make() -> None:
            declared = version.declaration
            make_next(connection, version, statements.relations)
            if isinstance(declared, Rollup):
                count_next(connection, declared, statements.relations[declared.of])
            rebuilds.add_candidate(connection, name, rebuild.id, built=isinstance(declared, Rollup))

        self._safely(make)
        self._take_up()
        return True

    def _mirror_indexed(self, connection: Connection, model: ReadModel) -> bool:
        """Whether the indexes on the mirror that it asks for are there. They are made beside: the mirror is written to."""
        if self._aside is None:
            if not (missing := mirror_index_statements(connection, model)):
                return True
            self._safely(lambda: prepare_extensions(connection, [model]))
            self._aside = Aside(self._dsn, missing, together=False)
        return self._ended(self._aside, f"{base_of(model.name)} asks for an index on the mirror")

    def _ended(self, aside: Aside, name: str) -> bool:
        """Whether what is made beside is done. Raises CannotBuild."""
        self._aside = None
        if not (ended := aside.ended(name)):
            self._aside = aside
        return ended

    def _advance(self, connection: Connection, statements: Statements, candidate: Candidate, version: Version) -> bool:
        model = version.declaration
        assert isinstance(model, ReadModel)
        keys = Identifier("readside", f"keys_{candidate.name}"[:63])
        if candidate.state == "rows":
            self._slice(connection, statements, candidate, model, keys)
            return True
        if self._aside is None:
            if listing := candidate.state == "keys":
                made = keys_statement(model, statements.relations, keys)
            else:
                made = indexes_statements(connection, model)
            self._aside = Aside(self._dsn, made, together=listing)
            return False
        if not self._ended(self._aside, candidate.name):
            return False
        with self._transaction():
            if candidate.state == "keys":
                rebuilds.keys_listed(connection, candidate.name, keys)
            else:
                rebuilds.candidate_built(connection, candidate.name, keys)
        self._reread(connection)
        return True

    def _slice(
        self, connection: Connection, statements: Statements, candidate: Candidate, model: ReadModel, keys: Identifier
    ) -> None:
        statement = statements.render(
            ("slice", model.name), lambda: slice_statement(model, statements.columns(model), keys)
        )
        began, after = time.monotonic(), candidate.done
        to = after + self._size
        total = candidate.total or 0
        spent_s = 0.0

        def compute() -> None:
            nonlocal spent_s
            connection.execute(statement, {"after": after, "to": to}, prepare=False)
            spent_s = time.monotonic() - began
            rebuilds.rows_computed(connection, candidate.name, min(to, total), last=to >= total)

        self._safely(compute)
        self._size = max(_FEWEST, min(_MOST, int(self._size * min(2.0, SLICE_S / max(spent_s, 0.001)))))
        self._reread(connection)

    def _look(self, connection: Connection, kept: Kept) -> bool:
        """At what operators want; whether something came of it."""
        self._looked_at = time.monotonic()
        self._reread(connection)
        rebuild = self._rebuild
        last = rebuilds.latest_swapped(connection, self._policy.former_s)
        if rebuild is None:
            return self._look_back(connection, kept, last)
        if rebuild.wish == "cancel" or (last is not None and last.wish == "roll back"):
            self._end(connection, rebuild, "cancelled", "an operator cancelled it, or rolls back what it follows")
        elif rebuild.state == "asked":
            self._take_up()
            if self._rebuild is not None and self._rebuild.state == "asked":
                self._end(connection, self._rebuild, "failed", "none of that is declared")
        elif rebuild.state == "built" and (still := kept.next_standing_still(rebuild.names)):
            self._end(connection, rebuild, "failed", still)
        elif rebuild.state == "built" and (rebuild.swaps or rebuild.wish == "swap"):
            readers = kept.other_readers(rebuild.names)
            if self._at_once(lambda: swap(connection, rebuild, readers)):
                logger.info(
                    "rebuild took its place", extra={"action": "rebuild_swapped", "models": list(rebuild.names)}
                )
                self._take_up()
        else:
            return False
        return True

    def _look_back(self, connection: Connection, kept: Kept, last: Rebuild | None) -> bool:
        if last is None or last.wish not in ("roll back", "forget"):
            return False
        readers = kept.other_readers(last.names)
        if self._at_once(lambda: roll_back(connection, last, readers, wanted=last.wish == "roll back")):
            logger.info(
                "former versions are settled", extra={"action": f"rebuild_{last.wish}", "models": list(last.names)}
            )
            self._take_up()
        return True

    def _safely(self, change: Callable[[], None]) -> None:
        """In one transaction. Raises CannotBuild: what is wrong with a declaration ends its rebuild, and not the store."""
        wrong: list[str] = []
        try:
            with self._transaction():
                try:
                    change()
                except psycopg.OperationalError:
                    raise
                except Fatal as exc:
                    wrong.append(str(exc))
                    raise Undo from exc
                except psycopg.Error as exc:
                    wrong.append(f"{exc.diag.message_primary} ({exc.sqlstate})")
                    raise Undo from exc
        except Undo:
            raise CannotBuild(wrong[0]) from None

    def _at_once(self, change: Callable[[], None]) -> bool:
        """In one transaction that waits for no reader for long; False when one was in the way: it is tried again."""
        try:
            with self._transaction():
                try:
                    change()
                except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as exc:
                    raise Undo from exc
        except Undo:
            return False
        return True

    def fail(self, connection: Connection, why: str) -> None:
        """End the one under way."""
        if self._rebuild is not None:
            self._end(connection, self._rebuild, "failed", why)

    def take_up_after(self, change: Callable[[], object]) -> None:
        """Make a change to what is kept up."""
        with self._transaction():
            change()
        self._take_up()

    def _end(self, connection: Connection, rebuild: Rebuild, state: str, why: str) -> None:
        logger.warning(
            "rebuild ended", extra={"action": f"rebuild_{state}", "models": list(rebuild.names), "reason": why}
        )
        with self._transaction():
            self._discard(connection)
            rebuilds.move(connection, rebuild.id, state, why)
        self._take_up()

    def _discard(self, connection: Connection) -> None:
        """Drop whatever there is of next versions, and end what is being made of them, which would hold their locks."""
        end_orphans(connection)
        self._aside, self._size = None, _FEWEST
        for name in rebuilds.forget_candidates(connection):
            for kind in ("read_model", "rollup"):
                forget(connection, name, kind)
            keys = Identifier("readside", f"keys_{name.removesuffix(NEXT)}"[:63])
            connection.execute(SQL("drop table if exists {}").format(keys))

    def _reread(self, connection: Connection) -> None:
        self._rebuild = rebuilds.under_way(connection)
        self._candidates = rebuilds.candidates(connection) if self._rebuild else {}

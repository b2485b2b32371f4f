"""The rating pipeline with a serving store that is told how often to attend to what is built anew."""

from __future__ import annotations

from typing import Any

import psycopg

from projectors.serving import rebuilds
from projectors.serving.rebuilds import Policy
from projectors.serving.store import ServingStore
from tests.projectors.ratings import DECLARATIONS


class Hurried(ServingStore):
    """Attends to itself only so often in its life; ends, as a process may, wherever that leaves it."""

    turns = 10**9

    def attend(self) -> bool:
        if self.turns <= 0:
            return False
        self.turns -= 1
        return super().attend()


class Shop:
    """The rating pipeline, by these declarations from now on."""

    def __init__(self, pipeline: Any, dsn: str) -> None:
        self.pipeline, self.dsn = pipeline, dsn
        self.declarations = DECLARATIONS
        self.policy = Policy()
        pipeline.waits_for = lambda store: store.rebuilding.goes_on and store.turns > 0

    def project(self, turns: int = 10**9) -> None:
        def make(tables: Any, shapes: Any) -> ServingStore:
            store = Hurried(self.dsn, tables, self.declarations, shapes=shapes, policy=self.policy)
            store.turns = turns
            return store

        self.pipeline._make_store = make
        self.pipeline.project().close()

    def store(self, statement: str) -> list[Any]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(statement).fetchall()  # pyright: ignore[reportArgumentType]

    def states(self) -> list[str]:
        return [state for (state,) in self.store("select state from readside.rebuilds order by id")]

    def want(self, wish: rebuilds.Wish) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            (last,) = connection.execute("select max(id) from readside.rebuilds").fetchone() or (0,)
            rebuilds.wish(connection, last, wish)

    def ask(self, *names: str, swaps: bool = False) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            rebuilds.ask(connection, names, swaps=swaps)

    def versions(self) -> dict[str, int]:
        return dict(self.store("select name, version from readside.declared"))

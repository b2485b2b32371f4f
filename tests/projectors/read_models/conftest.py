"""Given these transactions, when that one is committed, then a read model shows this; everything is delivered twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from projectors.read_models import DECLARATIONS


class Story:
    """What happens at the source, told to a store; a store that was told twice shows nothing else."""

    def __init__(self, pipeline: Any, relations: list[str], read: Callable[[str], list[Any]]) -> None:
        self._pipeline = pipeline
        self._relations = relations
        self._read = read

    def given(self, *transactions: str) -> None:
        """Committed, each by itself, and applied."""
        for transaction in transactions:
            self._pipeline.commit(transaction)
        self._pipeline.project_until_done()

    def when(self, *statements: str) -> None:
        """Committed together and applied; then sent again, with the one before, by a connector that starts anew."""
        log = self._pipeline.log
        again = max(0, len(log.transactions) - 1)
        self._pipeline.commit(*statements)
        self._pipeline.project_until_done()
        once = self._everything()
        for number, transaction in enumerate(log.transactions[again:]):
            log.send(transaction, fresh_start=number == 0)
        self._pipeline.project_until_done()
        assert self._everything() == once, "delivered twice, it shows something else"

    def then(self, query: str) -> list[Any]:
        """The rows of a query on the store."""
        return self._read(query)

    def document(self, model: str, id: int = 1) -> dict[str, Any]:
        """One row's document."""
        ((document,),) = self.then(f"select document from read_models.{model} where id = {id}")
        return document

    def _everything(self) -> list[Any]:
        return [sorted(self._read(f"select t::varchar from {relation} t")) for relation in self._relations]


@pytest.fixture
def story(serving: Any, store_database: str) -> Iterator[Story]:
    """Told to the serving store."""
    with psycopg.connect(store_database, autocommit=True) as connection:
        relations = [declared.reference for declared in DECLARATIONS.of_store("serving").maintained]
        yield Story(serving, relations, lambda query: connection.execute(query).fetchall())  # pyright: ignore


@pytest.fixture
def analytics_story(analytics: Any, tmp_path: Path) -> Story:
    """Told to the analytics store; its file is read between two projectors, since one process owns it."""

    def read(query: str) -> list[Any]:
        with duckdb.connect(tmp_path / "live.duckdb", read_only=True) as connection:
            return connection.execute(query).fetchall()

    return Story(analytics, [model.name for model in DECLARATIONS.of_store("analytics").read_models], read)

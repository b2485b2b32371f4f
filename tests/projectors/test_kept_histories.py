"""Histories that broke a law once; each as test_laws.py printed it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.databases import SHOP, STORE, Postgres, clone
from tests.histories import History, Step
from tests.subjects import ServingSubject


@pytest.fixture(scope="module")
def history(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    with (
        contextmanager(clone)(postgres, SHOP, owner="shop_owner") as shop,
        contextmanager(clone)(postgres, STORE, owner="readside_projector") as store,
    ):
        subject = ServingSubject(store)
        history = History(shop, subject, tmp_path_factory.mktemp("spool"))
        yield history
        history.close()
        subject.close()


def test_rows_repeated_before_a_snapshot_is_loaded_are_accounted_for(history: History) -> None:
    history.begin()
    for _ in range(7):
        history.resnapshot()
    history.commit(Step("cancel", 1, 1), Step("cancel", 2, 1))
    history.repeat(0)
    history.resnapshot()
    history.usurp(Step("cancel", 1, 1), seed=0)

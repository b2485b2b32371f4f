"""The fixture ``history``: what a test of the laws lets happen, move by move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.databases import SHOP, STORE, Postgres, clone
from tests.histories import History
from tests.subjects import ServingSubject


@pytest.fixture(scope="module")
def history(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """One history after another on the same two databases: each begins with both emptied."""
    with (
        contextmanager(clone)(postgres, SHOP, owner="shop_owner") as shop,
        contextmanager(clone)(postgres, STORE, owner="readside_projector") as store,
    ):
        subject = ServingSubject(store)
        history = History(shop, subject, tmp_path_factory.mktemp("spool"))
        yield history
        history.close()
        subject.close()

"""Two projectors and one serving store: at most one writes, the other says so, and they do not fight."""

from __future__ import annotations

import threading

import psycopg
import pytest

from cdc.errors import Fenced, Transient
from projectors.checkpoint import START
from projectors.read_model import Declarations
from projectors.serving import fence
from projectors.serving.store import ServingStore


@pytest.fixture
def make_store(serving, store_database):
    stores = []

    def make() -> ServingStore:
        tables, shapes = serving.catalogue()
        stores.append(ServingStore(store_database, tables, Declarations(), shapes=shapes))
        return stores[-1]

    yield make
    for store in stores:
        if hasattr(store, "_connection"):
            store.close()


@pytest.fixture
def silent_soon(monkeypatch):
    monkeypatch.setattr(fence, "SILENT_S", 0.3)


def test_a_living_projector_is_not_replaced(make_store, monkeypatch):
    monkeypatch.setattr(fence, "_PATIENCE_S", 0.3)
    owner = make_store()
    owner.open()
    for _ in range(3):  # as often as a supervisor may start it again
        with pytest.raises(Fenced, match=r"another projector holds the serving store: session \d+ from 127.0.0.1:\d+"):
            make_store().open()
    owner.apply([], START)


def test_a_dead_ones_store_is_taken_as_soon_as_its_session_ends(make_store):
    dying, heir = make_store(), make_store()
    dying.open()
    death = threading.Timer(0.1, dying.close)
    death.start()
    heir.open()
    death.join()
    heir.apply([], START)


def test_a_silent_one_inside_its_transaction_is_replaced_and_cannot_commit(make_store, silent_soon):
    silent, heir = make_store(), make_store()
    silent.open()
    with pytest.raises(Transient), silent._transaction(pipelined=False):
        heir.open()  # it holds the checkpoint's row
        heir.apply([], START)
        silent._execute("update readside.checkpoint set changes = 1000")
    assert checkpoint(heir) == ("snapshot", 0)


def test_a_silent_one_between_transactions_is_replaced_and_does_not_fight(make_store, silent_soon, monkeypatch):
    silent, heir = make_store(), make_store()
    silent.open()
    heir.open()
    with pytest.raises(Transient):
        silent.apply([], START)
    monkeypatch.setattr(fence, "SILENT_S", 10.0)
    monkeypatch.setattr(fence, "_PATIENCE_S", 0.3)
    with pytest.raises(Fenced):  # what runs on after a Transient opens the store again
        silent.open()
    heir.apply([], START)


def test_a_replaced_one_that_still_has_its_session_is_fenced_by_its_epoch(make_store, store_database):
    replaced = make_store()
    replaced.open()
    with psycopg.connect(store_database) as other:
        other.execute("update readside.checkpoint set epoch = epoch + 1")
    with pytest.raises(Fenced, match="has taken the serving store over"):
        replaced.apply([], START)


def test_one_that_rests_is_heard_of_and_notices_that_it_was_replaced(make_store, store_database, monkeypatch):
    monkeypatch.setattr(fence, "HEARD_S", 0.0)
    resting = make_store()
    resting.open()
    resting.rest()
    with psycopg.connect(store_database) as other:
        other.execute("update readside.checkpoint set epoch = epoch + 1")
    with pytest.raises(Fenced):
        resting.rest()


def checkpoint(store: ServingStore) -> tuple[str, int]:
    row = store._connection.execute("select phase, changes from readside.checkpoint").fetchone()
    assert row is not None
    return row

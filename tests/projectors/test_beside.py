"""What is made beside a projector for a next version, keys and indexes, goes on while the projector does other things."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from projectors.serving import pushes
from projectors.serving.store import ServingStore
from tests.databases import eventually
from tests.projectors.ratings import DECLARATIONS, ITEM_PAGE, assert_as_expected, rated
from tests.projectors.renewed import Shop

BESIDE = "select pid from pg_stat_activity where application_name = 'readside rebuild aside'"


@pytest.fixture
def store(shop: Shop) -> Iterator[ServingStore]:
    """A store that makes an index of item_page's next version, and cannot end as long as a reader's snapshot is older."""
    shop.pipeline.commit(rated(1, 1, 5))
    indexed = replace(ITEM_PAGE, indexes=("(name)",))
    models = tuple(indexed if model is ITEM_PAGE else model for model in DECLARATIONS.read_models)
    shop.declarations = replace(DECLARATIONS, read_models=models)
    shop.project()
    shop.ask("item_page", swaps=True)
    store = ServingStore(
        shop.dsn, *shop.pipeline.catalogue()[:1], shop.declarations, shapes=shop.pipeline.catalogue()[1]
    )
    store.open()
    with psycopg.connect(shop.dsn) as reader:
        while shop.store("select 1 from readside.candidates where state = 'indexes'") == []:
            store.attend()
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select 1 from read_models.shop_page")
        eventually(lambda: not store.attend() and waiting(shop) != [], what="the index waits for the reader")
        yield store
    store.close()


@pytest.fixture
def asking(shop: Shop) -> Iterator[tuple[ServingStore, psycopg.Connection]]:
    """A store of which a changed declaration asks for an index on the mirror, beside a reader whose snapshot is older."""
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    indexes = {"ratings": (*ITEM_PAGE.mirror_indexes["ratings"], "(author)")}
    asks = replace(ITEM_PAGE, comment="Another.", mirror_indexes=indexes)
    models = tuple(asks if model is ITEM_PAGE else model for model in DECLARATIONS.read_models)
    shop.declarations = replace(DECLARATIONS, read_models=models)
    store = ServingStore(
        shop.dsn, *shop.pipeline.catalogue()[:1], shop.declarations, shapes=shop.pipeline.catalogue()[1]
    )
    store.open()
    with psycopg.connect(shop.dsn) as reader:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select 1 from mirror.shops")
        eventually(lambda: not store.attend() and waiting(shop) != [], what="the index waits for the reader")
        yield store, reader
        reader.rollback()
        store.close()


def waiting(shop: Shop) -> list[int]:
    return [pid for (pid,) in shop.store(f"{BESIDE} and wait_event = 'virtualxid'")]


def test_a_watcher_who_comes_and_goes_does_not_make_it_begin_anew(shop, store, monkeypatch):
    monkeypatch.setattr(pushes, "LOOK_S", 0.0)
    before = waiting(shop)
    shop.store("insert into readside.watched (model, until) values ('shop_page', 'infinity') returning 1")
    store.attend()
    assert store._pushes.models == {"shop_page"}
    shop.store("delete from readside.watched returning 1")
    store.attend()
    assert store._pushes.models == frozenset()
    assert waiting(shop) == before


def test_an_index_on_the_mirror_is_made_beside_what_is_committed(shop, asking):
    assert shop.states() == ["building"]
    assert shop.store("select 1 from readside.candidates") == []
    before = waiting(shop)
    assert shop.store("update mirror.ratings set stars = stars returning stars") == [(5,)]
    store, _ = asking
    store._take_up()  # as when a watcher comes and goes: what is made is for a version that is to come
    store.attend()
    assert waiting(shop) == before


def test_an_index_on_the_mirror_that_was_broken_off_is_made_again(shop, asking):
    shop.store(f"select pg_terminate_backend(pid) from ({BESIDE}) p")
    store, reader = asking
    store.close()
    reader.rollback()
    assert shop.store("select 1 from pg_index where not indisvalid") == [(1,)]
    shop.project()
    assert shop.states() == ["swapped"]
    assert shop.store("select 1 from pg_index where not indisvalid") == []
    assert shop.store("select 1 from pg_indexes where indexdef like '%ratings%(author)'") == [(1,)]
    assert_as_expected(shop.pipeline, shop.dsn)


def test_it_is_not_waited_for_when_it_is_cancelled(shop, store):
    shop.want("cancel")
    store.attend()
    assert shop.states() == ["cancelled"]
    assert shop.store(BESIDE) == []
    store.close()
    shop.project()
    assert_as_expected(shop.pipeline, shop.dsn)

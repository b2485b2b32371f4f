"""Whoever watches a read model is told when rows may have changed of which no keys are named, or were not heard."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import psycopg

from projectors.serving.store import ServingStore
from queries import pushes as hearing
from tests.projectors.ratings import DECLARATIONS, SHOP_PAGE

LOUD = replace(SHOP_PAGE, query=SHOP_PAGE.query.replace("s.region,", "upper(s.region) as region,"))


def test_a_swap_is_told_without_keys(rating_pipeline, listener, store_database):
    listener.watch("shop_page")
    rating_pipeline.project().close()
    listener.heard()
    loud = replace(DECLARATIONS, read_models=(LOUD, *DECLARATIONS.read_models[1:]))
    rating_pipeline._make_store = lambda tables, shapes: ServingStore(store_database, tables, loud, shapes=shapes)
    rating_pipeline.project().close()
    assert listener.heard() == [("shop_page", None)]


def test_keys_of_a_snapshot_that_a_new_projector_loads_are_named(rating_pipeline, listener):
    listener.watch("item_page")
    rating_pipeline.project().close()
    listener.heard()
    rating_pipeline.miss("update items set name = 'bit' where id = 2")
    rating_pipeline.snapshots.take()
    rating_pipeline.project().close()
    assert listener.heard() == [("item_page", [["2"]])]


def test_what_is_computed_anew_is_told_without_keys(rating_pipeline, listener):
    listener.watch("item_page")
    rating_pipeline.project().close()
    listener.heard()
    rating_pipeline.alter("alter table items alter column name type varchar using name || '!'")
    rating_pipeline.project_until_done()
    assert ("item_page", None) in listener.heard()


def test_what_was_not_heard_is_told(rating_pipeline, store_database, monkeypatch):
    rating_pipeline.project().close()
    monkeypatch.setattr(hearing, "PAUSE_S", 0.5)
    monkeypatch.setattr(hearing, "ASK_S", 0.05)

    def notify(key: str) -> None:
        told = json.dumps({"model": "item_page", "keys": [[key]]})
        with psycopg.connect(store_database, autocommit=True) as store:
            store.execute("select pg_notify('readside_changed', %s)", (told,))

    async def told(watcher: Any) -> Any:
        await asyncio.wait_for(watcher.woken.wait(), 20)
        watcher.woken.clear()
        return watcher.take()

    async def follow() -> list[Any]:
        made = hearing.Pushes(store_database)
        made.start()
        with made.watched("item_page") as watcher:
            assert watcher is not None
            with psycopg.connect(store_database, autocommit=True) as store:
                while store.execute("update readside.watched set since = now()").rowcount == 0:
                    await asyncio.sleep(0.05)
                assert await told(watcher) == [] and watcher.watching
                store.execute(
                    "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                    " where application_name = 'readside-queries-pushes'"
                )
            notify("1")
            await asyncio.sleep(1.5)
            notify("2")
            found = [await told(watcher)]
            while not found[-1] or found[-1] == [["1"]]:
                notify("2")
                found.append(await told(watcher))
        made.stop()
        return found

    assert asyncio.run(follow()) == [None, ["2"]]

"""What verification once took for a difference, or could not compare, and repairs that nobody wanted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from string import ascii_lowercase
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from cdc.catalog import read_tables
from cdc.errors import Transient
from config.settings import Settings
from projectors.read_model import Declarations, ReadModel
from projectors.serving import rebuilds
from projectors.serving.store import ServingStore
from projectors.verification import reconciler, results
from projectors.verification.comparing import Verdict, compare, verify
from projectors.verification.oracles import SESSION, Recomputation, next_bound, oracle_of_table
from projectors.verification.reconciler import Reconciler
from projectors.verification.sides import Serving, Sides, Source
from stack import replay
from stack.errors import StackError
from stack.ports import free
from stack.rebuild import roll_back
from stack.verification import checks_of
from tests.databases import STORE, clone
from tests.operations import SEED
from tests.projectors.ratings import DECLARATIONS, ITEM_PAGE, rated
from tests.projectors.test_verification import table_of


@pytest.fixture
def settings(shop_database: str, store_database: str) -> Settings:
    return Settings(
        source_dsn=SecretStr(shop_database),
        serving_dsn=SecretStr(store_database),
        queries_dsn=SecretStr(store_database),
        analytics_address=f"127.0.0.1:{free()[0]}",
        models="tests.projectors.ratings",
        verify_share=1.0,
        verify_repair=True,
    )


def once(settings: Settings, dsn: str) -> dict[str, int]:
    with psycopg.connect(dsn, autocommit=True) as noted:
        noted.execute("update readside.checkpoint set end_lsn = 'FFFFFFFF/0'")
        Reconciler(settings, threading.Event())._round()
        return dict(noted.execute("select name, differences from readside.verified where differences > 0").fetchall())


LOUD = replace(ITEM_PAGE, query=ITEM_PAGE.query.replace("i.name,", "upper(i.name) as name,"))


def declared(page: ReadModel) -> Declarations:
    return replace(DECLARATIONS, read_models=tuple(page if m is ITEM_PAGE else m for m in DECLARATIONS.read_models))


def swapped(shop: Any, page: ReadModel) -> None:
    """The page was built by this declaration, and then anew by the code's."""
    shop.declarations = declared(page)
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.declarations = DECLARATIONS
    shop.project()


def rolled_back(shop: Any, page: ReadModel) -> None:
    swapped(shop, page)
    shop.want("roll back")
    shop.project()
    assert shop.states() == ["rolled back"]


def test_what_was_rolled_back_is_not_brought_back_by_a_repair(shop, settings):
    rolled_back(shop, LOUD)
    assert once(settings, shop.dsn) == {}
    assert shop.states() == ["rolled back"]


def test_a_former_version_that_stands_still_does_not_serve_again(shop, settings):
    swapped(shop, LOUD)
    shop.store("update readside.declared set parked = 'no column x' where name = 'item_page__former' returning 1")
    with pytest.raises(StackError, match="item_page__former stands still: no column x"):
        roll_back(settings, ["item_page"], yes=True, output=None)
    assert shop.states() == ["swapped"]


def test_by_hand_too_what_was_rolled_back_is_judged_by_what_serves(shop, settings):
    rolled_back(shop, LOUD)
    check, *_ = checks_of(settings, ["item_page"])
    assert verify(settings, check).differences == 0
    shop.store("update read_models.item_page set name = 'quiet' where id = 1 returning 1")
    assert verify(settings, check).differences == 1


def test_an_old_version_of_other_columns_breaks_no_round_off(shop, settings):
    rolled_back(
        shop,
        replace(
            ITEM_PAGE,
            columns=ITEM_PAGE.columns.replace("name text", "title text"),
            query=ITEM_PAGE.query.replace("i.name,", "i.name as title,"),
        ),
    )
    assert once(settings, shop.dsn) == {}


def test_a_repair_that_could_not_be_asked_for_is_no_attempt(shop, settings):
    shop.project()
    wrong = Verdict(model="item_page", store="serving", rows=1, differences=1, first=(), kinds={}, columns={})
    made = Reconciler(settings, threading.Event())
    with psycopg.connect(shop.dsn, autocommit=True) as stored:
        rebuilds.ask(stored, ["shop_page"], swaps=False)
        for _ in range(2):
            with pytest.raises(Transient):
                made._repair(stored, [], [wrong])
        stored.execute("update readside.rebuilds set state = 'cancelled'")
        made._repair(stored, [], [wrong])
        assert rebuilds.under_way(stored) is not None


def test_a_row_that_is_changed_and_changed_back_is_not_different(followed, sides, verifier):
    class Toggled(Serving):
        times = 2

        def rows(self, oracle: Any, part: Any) -> Any:
            if self.times:
                verifier.execute("update mirror.users set last_name = 'Y' where id = 1009")
            found = super().rows(oracle, part)
            self.times = max(0, self.times - 1)
            verifier.execute("update mirror.users set last_name = 'B' where id = 1009")
            return found

    verifier.execute("update mirror.users set last_name = 'Y' where id = 1009")
    toggled = Sides(sides.source, {"serving": Toggled(verifier)})
    assert compare(toggled, oracle_of_table(table_of(followed, "users"))).differences == 0


def test_a_row_that_is_never_the_same_for_long_is_compared_all_the_same(followed, sides, verifier):
    """The verifier shows what the source held a moment ago, and the source goes on at every look."""

    def latest() -> str:
        return followed.sql("select last_name from users where id = 1009").fetchone()[0]

    def after(letter: str, steps: int) -> str:
        return ascii_lowercase[(ascii_lowercase.index(letter) + steps) % 26]

    class Busy(Source):
        def rows(self, oracle: Any, part: Any) -> Any:
            found = super().rows(oracle, part)
            followed.miss(f"update users set last_name = '{after(latest(), 1)}' where id = 1009")
            return found

    class Late(Serving):
        looks = 0

        def position(self) -> int:
            self.looks += 1
            return super().position() if self.looks % 5 == 0 else 0

        def rows(self, oracle: Any, part: Any) -> Any:
            verifier.execute("update mirror.users set last_name = %s where id = 1009", (after(latest(), -3),))
            return super().rows(oracle, part)

    verifier.execute("update readside.checkpoint set end_lsn = 'FFFFFFFF/0'")
    followed.miss("update users set last_name = 'a' where id = 1009")
    busy = Sides(Busy(sides.source._connection), {"serving": Late(verifier)})
    assert compare(busy, oracle_of_table(table_of(followed, "users"))).differences == 0


def test_a_time_s_text_does_not_depend_on_the_database_s_zone(serving, shop_database, store_database, verifier):
    joined = ReadModel(
        name="joined",
        comment="One row per user.",
        key=("id",),
        columns="id bigint primary key, document jsonb",
        affected_by={"users": "select id from changed"},
        query="""
            select u.id, jsonb_build_object('at', u.created_at) as document
              from affected a join mirror.users u on u.id = a.id
        """,
    )
    name = verifier.execute("select current_database()").fetchone()[0]
    verifier.execute(f"alter database {name} set timezone = 'Asia/Tokyo'")
    serving._make_store = lambda tables, shapes: ServingStore(
        store_database, tables, Declarations((joined,)), shapes=shapes
    )
    serving.commit(SEED)
    serving.project_until_done()
    with psycopg.connect(store_database, autocommit=True, options=SESSION) as verifying:
        assert compare(Sides(None, {"serving": Serving(verifying)}), Recomputation(joined)).differences == 0


@pytest.fixture
def replayed_database(postgres) -> Iterator[str]:
    yield from clone(postgres, STORE, owner="readside_projector")


def test_a_replay_that_is_behind_is_waited_for(rating_pipeline, store_database, replayed_database, monkeypatch):
    def project(dsn: str) -> None:
        rating_pipeline._make_store = lambda tables, shapes: ServingStore(dsn, tables, Declarations(), shapes=shapes)
        rating_pipeline.project().close()

    project(replayed_database)
    rating_pipeline.commit("update items set name = 'bit' where id = 2")
    project(store_database)
    monkeypatch.setattr(replay, "_CATCH_UP_S", 0.2)
    with (
        psycopg.connect(replayed_database, options=SESSION) as replayed,
        psycopg.connect(store_database, autocommit=True, options=SESSION) as serving,
    ):
        oracle = oracle_of_table(table_of(rating_pipeline, "items"))
        sides = Sides(replay._Replayed(replayed, Serving(serving)), {"serving": Serving(serving)})
        with pytest.raises(Transient):
            compare(sides, replace(oracle, expected=oracle.stored))


def test_what_is_parked_during_a_round_is_not_repaired(shop, settings, monkeypatch):
    shop.project()
    asked: list[Settings] = []
    monkeypatch.setattr(reconciler, "ask_snapshot", asked.append)
    excused = results.excused

    def and_then(connection: Any) -> Any:
        found = excused(connection)
        connection.execute("update mirror.items set name = 'parked' where id = 2")
        connection.execute("""
            insert into readside.dead_letters (topic, partition, "offset", "table", key, end_lsn, "order", committed_us,
                                               reason, payload)
            values ('t', 0, 1, 'public.items', '{"id": 2}', '0/1', 1, 1, 'poison', '') on conflict do nothing
        """)
        return found

    monkeypatch.setattr(results, "excused", and_then)
    once(settings, shop.dsn)
    assert asked == []


def test_a_column_may_have_a_per_cent_sign_in_its_name(shop_database, verifier):
    with psycopg.connect(shop_database, options=SESSION) as source:
        for connection, schema in ((source, "public"), (verifier, "mirror")):
            connection.execute(f"create schema if not exists {schema}")
            connection.execute(f'create table {schema}.shares ("id%" int primary key, "100%" text)')
            connection.execute(f"insert into {schema}.shares select n, 'x' from generate_series(1, 9) n")
        source.execute("alter publication readside add table public.shares")
        source.commit()
        verifier.execute("""update mirror.shares set "100%" = 'y' where "id%" = 3""")
        table = next(table for table in read_tables(shop_database, "readside") if table.mirror == "shares")

        class Reached(Serving):
            def position(self) -> int:
                return 2**64

        sides = Sides(Source(source), {"serving": Reached(verifier)})
        assert sides.source.select(*next_bound(table, ["1"], 3)) == [("4",)]
        assert compare(sides, oracle_of_table(table, ["1"], ["5"])).differences == 1


def test_a_key_may_be_called_as_a_word_of_sql(rating_pipeline, store_database, verifier):
    ordered = ReadModel(
        name="ordered",
        comment="One row per item.",
        key=("order",),
        columns='"order" int primary key, name text',
        affected_by={"items": "select id from changed"},
        query='select i.id as "order", i.name from affected a join mirror.items i on i.id = a."order"',
    )
    rating_pipeline._make_store = lambda tables, shapes: ServingStore(
        store_database, tables, Declarations((ordered,)), shapes=shapes
    )
    rating_pipeline.project().close()
    verdict = compare(Sides(None, {"serving": Serving(verifier)}), Recomputation(ordered))
    assert (verdict.rows, verdict.differences) == (3, 0)


def test_a_rollup_that_drifted_is_found(shop, settings):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.store("update rollups.item_ratings set stars = 17 returning 1")
    shop.pipeline.commit(rated(1, 2, 5))  # whatever reads it is computed anew from it
    shop.project()
    assert "item_ratings" in once(settings, shop.dsn)


def test_by_hand_too_a_rollup_is_counted_anew_when_it_is_named_or_was_found(shop, settings):
    def checked(*names: str) -> set[str]:
        return {check.name for check in checks_of(settings, names)}

    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    assert "item_ratings" in checked("item_ratings")
    assert "item_ratings" not in checked()
    shop.store("update rollups.item_ratings set stars = 17 returning 1")
    once(settings, shop.dsn)
    assert "item_ratings" in checked()
    with pytest.raises(StackError, match="no read model or rollup item_rating;"):
        checks_of(settings, ["item_rating"])

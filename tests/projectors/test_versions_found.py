"""What a rebuild, a swap or a rollback once left behind, stopped or undid."""

from __future__ import annotations

import json
from dataclasses import replace

import psycopg
from pydantic import SecretStr

from config.settings import Settings
from projectors.read_model import Declarations, ReadModel
from projectors.serving import rebuilds
from projectors.serving.rebuilds import Policy
from stack import rebuild
from tests.projectors.ratings import (
    DECLARATIONS,
    ITEM_RATINGS,
    KIND_PAGE,
    SHOP_PAGE,
    assert_as_expected,
    rated,
)
from tests.projectors.renewed import Shop
from tests.projectors.test_versions_side_by_side import declared_otherwise

DOUBLED = replace(ITEM_RATINGS, query=ITEM_RATINGS.query.replace("sum(stars)", "sum(2 * stars)"))


def with_model(old: ReadModel, *new: ReadModel, of: Declarations = DECLARATIONS) -> Declarations:
    return replace(of, read_models=(*(m for m in of.read_models if m.name != old.name), *new))


def with_doubled(of: Declarations = DECLARATIONS) -> Declarations:
    return replace(of, rollups=(*of.rollups[:-1], DOUBLED))


LOUD = replace(SHOP_PAGE, query=SHOP_PAGE.query.replace("s.region,", "upper(s.region) as region,"))


def test_another_changed_declaration_during_a_rebuild_begins_it_anew(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.declarations = declared_otherwise("anew")
    shop.project(turns=2)
    assert len(shop.store("select 1 from readside.candidates")) == 2
    shop.declarations = with_model(KIND_PAGE, replace(KIND_PAGE, comment="Another."), of=shop.declarations)
    shop.pipeline.commit(rated(1, 2, 3))
    shop.project()
    assert shop.states() == ["cancelled", "swapped"]
    assert_as_expected(shop.pipeline, shop.dsn)


def test_nothing_is_kept_up_of_a_rebuild_that_is_outdated(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.declarations = with_model(SHOP_PAGE, replace(SHOP_PAGE, comment="Another."))
    shop.project(turns=1)
    shop.declarations = with_model(KIND_PAGE, replace(KIND_PAGE, comment="Another."), of=shop.declarations)
    shop.pipeline.commit(rated(1, 2, 3), "update shops set region = 'x'")
    shop.project(turns=0)
    shop.project()
    assert shop.states() == ["cancelled", "swapped"]
    assert_as_expected(shop.pipeline, shop.dsn)


def test_what_is_not_declared_any_more_stops_no_rollback(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.declarations = declared_otherwise("anew")
    shop.project()
    shop.declarations = with_model(SHOP_PAGE, of=shop.declarations)
    shop.project()
    shop.want("roll back")
    shop.project()
    assert shop.states() == ["rolled back"]


def test_a_view_goes_with_the_table_that_it_was_made_on(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    with psycopg.connect(shop.dsn, autocommit=True) as store:
        store.execute("create view mine as select id from read_models.item_page")
    shop.ask("item_page", swaps=True)
    shop.project()
    shop.policy = Policy(former_s=0.0)
    shop.pipeline.commit(rated(1, 2, 5))
    shop.project(turns=5)
    assert_as_expected(shop.pipeline, shop.dsn)


def cancelled(shop: Shop) -> None:
    """Shop's page was to be built anew from the same declaration."""
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.ask("shop_page")
    shop.project()
    shop.want("cancel")
    shop.project()


def test_what_was_cancelled_while_it_served_is_built_when_it_is_declared_again(shop):
    cancelled(shop)
    shop.declarations = with_model(SHOP_PAGE)
    shop.project()
    shop.declarations = DECLARATIONS
    shop.project()
    assert_as_expected(shop.pipeline, shop.dsn)


def test_what_was_cancelled_while_it_served_may_come_back(shop):
    cancelled(shop)
    shop.declarations = with_model(SHOP_PAGE, LOUD)
    shop.project()
    shop.declarations = DECLARATIONS
    shop.project()
    assert_as_expected(shop.pipeline, shop.dsn)


def counted(name: str, of: str) -> ReadModel:
    return ReadModel(
        name=name,
        comment="One row per item.",
        key=("id",),
        columns="id int primary key, stars bigint",
        affected_by={
            "items": "select id from changed",
            of: f"select {'id' if of != 'rollups.item_ratings' else 'item_id'} from changed",
        },
        query=f"""
            select i.id, coalesce(r.stars, 0) as stars
              from affected a
              join mirror.items i on i.id = a.id
              left join {of} r on r.{"id" if of != "rollups.item_ratings" else "item_id"} = i.id
        """,
    )


def test_what_reads_a_new_model_that_was_cancelled_is_left_out_with_it(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.policy = Policy(swaps=False)
    new = counted("counted", "rollups.item_ratings")
    shop.declarations = with_model(new, new, of=with_doubled())
    shop.project()
    shop.want("cancel")
    shop.project()
    another = counted("another", "read_models.counted")
    shop.declarations = with_model(another, another, of=shop.declarations)
    shop.project()
    assert_as_expected(shop.pipeline, shop.dsn)


def test_a_wish_that_came_too_late_keeps_no_former_version(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.declarations = declared_otherwise("anew")
    shop.project()
    shop.want("cancel")
    shop.policy = Policy(former_s=0.0)
    shop.pipeline.commit(rated(1, 2, 5))
    shop.project(turns=5)
    assert not [name for name in shop.versions() if "__" in name]


def test_what_was_declared_after_a_swap_follows_a_rollback(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.declarations = with_doubled()
    shop.project()
    new = counted("counted", "rollups.item_ratings")
    shop.declarations = with_model(new, new, of=shop.declarations)
    shop.project()
    assert shop.store("select stars from read_models.counted where id = 1") == [(10,)]
    shop.want("roll back")
    shop.project()
    assert shop.store("select stars from rollups.item_ratings") == [(5,)]
    assert shop.store("select stars from read_models.counted where id = 1") == [(5,)]


def test_the_old_version_of_what_was_rolled_back_is_built_anew_with_what_it_reads(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    plain = replace(
        SHOP_PAGE,
        affected_by={"shops": "select id from changed"},
        query="""
            select s.id, s.region, 0 as ratings, null::numeric as reputation
              from affected a join mirror.shops s on s.id = a.id
        """,
    )
    shop.declarations = with_model(SHOP_PAGE, plain)
    shop.project()
    shop.want("roll back")
    shop.project()
    shop.declarations = with_doubled(shop.declarations)
    shop.project()
    assert shop.states() == ["rolled back", "swapped"]
    assert shop.store("select stars from rollups.shop_scores") == [(10,)]
    assert shop.store("select reputation from read_models.shop_page where id = 1") == [(10,)]


def test_what_was_rolled_back_does_not_come_with_a_rebuild_of_what_it_reads(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.declarations = with_model(SHOP_PAGE, LOUD)
    shop.project()
    shop.want("roll back")
    shop.project()
    shop.ask("item_ratings", swaps=True)
    shop.project()
    assert shop.states() == ["rolled back", "swapped"]
    assert_as_expected(shop.pipeline, shop.dsn)


def test_a_rollback_ends_the_rebuild_that_follows(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.declarations = with_model(SHOP_PAGE, LOUD)
    shop.project()
    shop.want("roll back")
    shop.declarations = with_model(SHOP_PAGE, replace(LOUD, comment="Another."))
    shop.project()
    assert_as_expected(shop.pipeline, shop.dsn)


def test_what_stands_still_takes_nobodys_place(shop):
    bare = ReadModel(
        name="bare",
        comment="One row per shop.",
        key=("id",),
        columns="id int primary key, region text",
        affected_by={"shops": "select id from changed"},
        query="select s.id, null as region from affected a join mirror.shops s on s.id = a.id",
    )
    shop.declarations = Declarations(read_models=(bare,))
    shop.project()
    shop.policy = Policy(swaps=False)
    shop.declarations = Declarations(read_models=(replace(bare, query=bare.query.replace("null", "s.region")),))
    shop.project()
    assert shop.states() == ["built"]
    shop.pipeline.alter("alter table shops drop column region")
    shop.pipeline.commit("insert into shops values (3)")
    shop.want("swap")
    shop.project()
    assert shop.store("select parked from readside.declared where name = 'bare'") == [(None,)]
    assert shop.store("select id from read_models.bare order by 1") == [(1,), (2,), (3,)]


def test_what_a_swap_has_changed_is_shown_from_before_to_after(shop, monkeypatch, capsys):
    fewer = replace(SHOP_PAGE, query=SHOP_PAGE.query.replace("on s.id = a.id", "on s.id = a.id and s.id = 1"))
    shop.declarations = with_model(SHOP_PAGE, fewer)
    shop.project()
    shop.declarations = DECLARATIONS
    shop.project()
    monkeypatch.setattr(rebuilds, "under_way", lambda connection: rebuilds.by_id(connection, 1))
    settings = Settings(serving_dsn=SecretStr(shop.dsn), models="tests.projectors.ratings")
    rebuild.run(settings, [], origin="mirror", yes=True, output="json")
    (shown,) = json.loads(capsys.readouterr().out)
    assert (shown["rows_old"], shown["rows_new"], shown["kinds"]["added"]) == (1, 2, 1)

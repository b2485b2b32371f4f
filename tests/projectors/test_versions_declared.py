"""A changed declaration may need what the old one did not, and call things as the old one did: it is built all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.projectors.ratings import ITEM_PAGE, SHOP_PAGE, assert_as_expected, rated
from tests.projectors.renewed import Hurried
from tests.projectors.test_versions_found import with_model

UNALIASED = """
        select s.id, s.region, coalesce(shop_scores.ratings, 0) as ratings,
               round(shop_scores.stars::numeric / nullif(shop_scores.ratings, 0), 2) as reputation
          from affected a
          join mirror.shops s on s.id = a.id
          left join rollups.shop_scores on shop_scores.shop_id = s.id
"""


def test_an_index_on_the_mirror_that_cannot_be_made_fails_alone(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    wrong = replace(ITEM_PAGE, comment="Another.", mirror_indexes={"ratings": ("(price)",)})
    shop.declarations = with_model(ITEM_PAGE, wrong)
    shop.project()
    assert shop.states() == ["failed"]
    assert_as_expected(shop.pipeline, shop.dsn)


def test_an_extension_that_a_changed_declaration_needs_is_made(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    folded = replace(
        SHOP_PAGE, columns=SHOP_PAGE.columns.replace("region text", "region citext"), extensions=("citext",)
    )
    shop.declarations = with_model(SHOP_PAGE, folded)
    shop.project()
    assert shop.states() == ["swapped"]


def test_an_extension_that_is_not_there_fails_alone(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.declarations = with_model(SHOP_PAGE, replace(SHOP_PAGE, comment="Another.", extensions=("nowhere",)))
    shop.project()
    assert shop.states() == ["failed"]


def test_columns_may_be_called_by_the_name_of_a_table_without_an_alias(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.declarations = with_model(SHOP_PAGE, replace(SHOP_PAGE, query=UNALIASED))
    shop.project()
    shop.ask("item_ratings", swaps=True)
    shop.project()
    assert shop.states() == ["swapped"]
    shop.pipeline.commit(rated(1, 2, 1))
    shop.project()
    assert_as_expected(shop.pipeline, shop.dsn)
    assert_as_expected(shop.pipeline, shop.dsn, "__former")


def test_a_rollup_of_a_table_that_stands_still_fails_alone(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()

    def make(tables: Any, shapes: Any) -> Hurried:
        return Hurried(
            shop.dsn, tables, shop.declarations, shapes=shapes, parks=lambda table: table == "public.ratings"
        )

    shop.pipeline._make_store = make
    shop.pipeline.alter("alter table ratings add column more int")
    shop.ask("item_ratings", swaps=True)
    shop.pipeline.commit("update shops set region = 'west'")
    shop.pipeline.project().close()
    assert shop.states() == ["failed"]


def test_a_key_whose_constraint_has_a_name_is_built_beside_it(shop):
    named = replace(
        SHOP_PAGE,
        columns="id int, region text, ratings bigint not null, reputation numeric, constraint a_shop primary key (id)",
    )
    shop.pipeline.commit(rated(1, 1, 5))
    shop.declarations = with_model(SHOP_PAGE, named)
    shop.project()
    shop.ask("shop_page", swaps=True)
    shop.project()
    assert shop.states() == ["swapped"]


def test_a_name_in_a_text_is_no_reference(shop):
    said = replace(SHOP_PAGE, query=SHOP_PAGE.query.replace("s.region,", "'of rollups.shop_scores' as region,"))
    shop.pipeline.commit(rated(1, 1, 5))
    shop.declarations = with_model(SHOP_PAGE, said)
    shop.project()
    shop.ask("item_ratings", swaps=True)
    shop.project()
    assert shop.store("select distinct region from read_models.shop_page") == [("of rollups.shop_scores",)]

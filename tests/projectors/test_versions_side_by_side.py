"""Next versions of declared tables are built beside those that serve, kept up like them, swapped, rolled back, cancelled."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from projectors.read_model import Declarations
from projectors.serving.rebuilds import Policy
from tests.projectors.ratings import (
    DECLARATIONS,
    ITEM_PAGE,
    ITEM_RATINGS,
    SHOP_PAGE,
    assert_as_expected,
    rated,
)

CHANGED = ("item_ratings", "rated_often", "item_scores", "shop_scores", "item_page", "shop_page")


def declared_otherwise(word: str) -> Declarations:
    """The same tables by another declaration, on which nearly all of them depend."""
    other = replace(ITEM_RATINGS, comment=f"One row per item that was rated: {word}.")
    return replace(DECLARATIONS, rollups=(*DECLARATIONS.rollups[:-1], other))


def test_the_old_version_serves_and_is_kept_up_until_the_new_one_takes_its_place(shop):
    shop.pipeline.commit(rated(1, 1, 5), rated(2, 1, 1))
    shop.project()
    shop.policy = Policy(swaps=False)
    stars = "query", ITEM_RATINGS.query.replace("sum(stars)", "sum(2 * stars)")
    doubled = replace(ITEM_RATINGS, **dict([stars]))
    shop.declarations = replace(DECLARATIONS, rollups=(*DECLARATIONS.rollups[:-1], doubled))
    shop.project()
    shop.pipeline.commit(rated(1, 2, 3))
    shop.project()
    assert shop.states() == ["built"]
    assert shop.store("select stars from rollups.item_ratings where item_id = 1") == [(8,)]
    assert shop.store("select stars from rollups.item_ratings__next where item_id = 1") == [(16,)]
    assert shop.store("select reputation from read_models.shop_page where id = 1") == [(3,)]
    assert shop.store("select reputation from read_models.shop_page__next where id = 1") == [(6,)]
    shop.want("swap")
    shop.project()
    shop.pipeline.commit(rated(2, 2, 3))
    shop.project()
    assert shop.states() == ["swapped"]
    assert shop.store("select reputation from read_models.shop_page where id = 1") == [(6,)]
    assert shop.store("select reputation from read_models.shop_page__former where id = 1") == [(3,)]
    versions = shop.versions()
    assert all((versions[name], versions[f"{name}__former"]) == (2, 1) for name in CHANGED)
    assert not [name for name in versions if name.endswith("__next")]


def test_what_was_rolled_back_serves_again_right_and_is_not_built_again_by_itself(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.declarations = declared_otherwise("anew")
    shop.project()
    shop.pipeline.commit(rated(1, 2, 3))
    shop.want("roll back")
    shop.project()
    shop.pipeline.commit(rated(2, 2, 3))
    shop.project()
    assert shop.states() == ["rolled back"]
    assert set(shop.versions().values()) == {1}
    assert_as_expected(shop.pipeline, shop.dsn)
    shop.ask("item_ratings", swaps=True)
    shop.project()
    assert shop.states() == ["rolled back", "swapped"]
    assert_as_expected(shop.pipeline, shop.dsn)


def test_a_rebuild_that_is_asked_for_takes_all_that_reads_it(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.ask("item_scores", swaps=True)
    shop.project()
    assert shop.store("select names from readside.rebuilds") == [(["item_scores", "shop_scores", "shop_page"],)]
    assert_as_expected(shop.pipeline, shop.dsn)
    assert_as_expected(shop.pipeline, shop.dsn, "__former")


def test_wrong_rows_are_gone_after_a_rebuild(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.store("update rollups.item_ratings set stars = 17 returning 1")
    shop.store("update read_models.shop_page set reputation = 17 returning 1")
    shop.ask("item_ratings", swaps=True)
    shop.project()
    assert_as_expected(shop.pipeline, shop.dsn)


def test_a_declaration_that_cannot_be_computed_fails_alone_and_the_old_one_goes_on(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    wrong = replace(SHOP_PAGE, query=SHOP_PAGE.query.replace("s.region", "s.nowhere as region"))
    shop.declarations = replace(DECLARATIONS, read_models=(wrong, *DECLARATIONS.read_models[1:]))
    shop.project()
    shop.pipeline.commit(rated(1, 2, 1))
    shop.project()
    assert shop.states() == ["failed"]
    (why,) = shop.store("select why from readside.rebuilds")[0]
    assert "shop_page" in why and "nowhere" in why
    assert_as_expected(shop.pipeline, shop.dsn)


def test_what_fails_on_a_row_fails_alone_too(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    wrong = replace(SHOP_PAGE, query=SHOP_PAGE.query.replace("coalesce(r.ratings, 0) as", "1 / (s.id - s.id) as"))
    shop.declarations = replace(DECLARATIONS, read_models=(wrong, *DECLARATIONS.read_models[1:]))
    shop.project()
    assert shop.states() == ["failed"]
    shop.pipeline.commit(rated(1, 2, 1))
    shop.project()
    assert_as_expected(shop.pipeline, shop.dsn)


def test_a_cancelled_rebuild_leaves_nothing_behind(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.policy = Policy(swaps=False)
    shop.declarations = declared_otherwise("anew")
    shop.project()
    shop.want("cancel")
    shop.project()
    assert shop.states() == ["cancelled"]
    assert set(shop.versions().values()) == {1}
    left = shop.store("select tablename from pg_tables where tablename ~ '__next|^keys_'")
    assert left == []


def test_a_declaration_that_comes_back_is_built_again(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.declarations = declared_otherwise("anew")
    shop.project(turns=1)
    shop.declarations = DECLARATIONS
    shop.project()
    assert shop.states() == ["cancelled"]
    shop.declarations = declared_otherwise("anew")
    shop.project()
    assert shop.states() == ["cancelled", "swapped"]
    assert_as_expected(shop.pipeline, shop.dsn)


def test_an_old_version_stands_still_when_the_source_takes_what_it_reads_and_the_new_one_does_not_read_it(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.pipeline.alter("alter table ratings drop column at")
    fewer = replace(
        ITEM_PAGE,
        mirror_indexes={"ratings": ("(item_id, stars desc)",)},
        query=ITEM_PAGE.query.replace("min(f.at)", "min(f.author)").replace(", at desc, author desc", ", author desc"),
    )
    latest = "order by l.at desc, l.author desc", "order by l.author desc"
    fewer = replace(fewer, query=fewer.query.replace(*latest).replace("author, at", "author").replace("at desc, ", ""))
    models = tuple(fewer if model is ITEM_PAGE else model for model in DECLARATIONS.read_models)
    shop.declarations = replace(DECLARATIONS, read_models=models)
    shop.project()
    shop.pipeline.commit("insert into ratings values (1, 2, 3, 1, 'k', 'fine')")
    shop.project()
    assert shop.states() == ["swapped"]
    assert shop.store("select first, latest from read_models.item_page where id = 1") == [(1, [2, 1])]


def test_former_versions_are_forgotten_when_their_time_is_over(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.project()
    shop.declarations = declared_otherwise("anew")
    shop.project()
    shop.policy = Policy(former_s=0.0)
    shop.pipeline.commit(rated(1, 2, 5))
    shop.project(turns=5)
    assert not [name for name in shop.versions() if "__" in name]
    assert_as_expected(shop.pipeline, shop.dsn)


def test_indexes_are_those_that_are_declared(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    indexed = replace(ITEM_PAGE, indexes=("(name)",))
    shop.declarations = Declarations(read_models=(indexed,), rollups=(ITEM_RATINGS,))
    shop.project()
    shop.ask("item_page", swaps=True)
    shop.project()
    defined = shop.store("select indexdef from pg_indexes where schemaname = 'read_models' and tablename = 'item_page'")
    assert sorted(definition.partition(" USING ")[2] for (definition,) in defined) == ["btree (id)", "btree (name)"]


@pytest.mark.parametrize("seed", range(6))
def test_every_version_is_right_whatever_happens_while_it_is_built(shop, seed):
    random = Random(seed)
    words = iter(range(1000))
    shop.project()
    for _ in range(14):
        for _ in range(random.randint(0, 3)):
            shop.pipeline.commit(*(change(random) for _ in range(random.randint(1, 3))))
        match random.choice(("project", "project", "project", "declare", "ask", "wish")):
            case "declare":
                shop.declarations = declared_otherwise(str(next(words)))
            case "ask" if "building" not in shop.states() and "built" not in shop.states():
                shop.ask(random.choice(("item_ratings", "item_scores", "shop_page")), swaps=random.random() < 0.5)
            case "wish" if shop.states():
                shop.want(random.choice(("swap", "cancel", "roll back", "forget")))
            case _:
                pass
        shop.policy = Policy(swaps=random.random() < 0.5)
        shop.project(turns=random.choice((0, 1, 3, 8, 20)))
        assert_as_expected(shop.pipeline, shop.dsn)
        assert_as_expected(shop.pipeline, shop.dsn, "__former")
    shop.policy = Policy()
    shop.project()
    assert_as_expected(shop.pipeline, shop.dsn)
    assert_as_expected(shop.pipeline, shop.dsn, "__next")
    assert_as_expected(shop.pipeline, shop.dsn, "__former")


def change(random: Random) -> str:
    item, author, stars = random.randint(1, 3), random.randint(1, 4), random.randint(1, 5)
    match random.choice(("rate", "rate", "change", "move", "delete", "rename")):
        case "rate":
            return f"{rated(item, author, stars)} on conflict do nothing"
        case "change":
            return f"update ratings set stars = {stars} where item_id = {item}"
        case "move":
            return f"update items set shop_id = {random.randint(1, 2)} where id = {item}"
        case "rename":
            return f"update items set name = name || '.' where id = {item}"
        case _:
            return f"delete from ratings where author = {author}"

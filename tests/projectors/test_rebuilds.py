"""What a changed declaration makes of a store: it is built anew, and so is all that reads it; indexes come and go."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from cdc.errors import Fatal
from projectors.read_model import Declarations
from projectors.serving.store import ServingStore
from tests.projectors import ratings
from tests.projectors.ratings import DECLARATIONS, ITEM_PAGE, ITEM_RATINGS, assert_as_expected, rated


@pytest.fixture
def declared(rating_pipeline, store_database):
    """Projects with these declarations; the store's versions of them afterwards."""

    def project(declarations: Declarations) -> dict[str, int]:
        rating_pipeline._make_store = lambda tables, shapes: ServingStore(
            store_database, tables, declarations, shapes=shapes
        )
        rating_pipeline.project().close()
        with psycopg.connect(store_database) as store:
            versions = store.execute("select name, version from readside.declared where name not like '%former'")
            return dict(versions.fetchall())

    return project


def test_a_changed_rollup_is_built_anew_with_all_that_reads_it(rating_pipeline, declared, rows):
    rating_pipeline.commit(rated(1, 1, 5), rated(2, 1, 1))
    declared(DECLARATIONS)
    doubled = replace(ITEM_RATINGS, query=ITEM_RATINGS.query.replace("sum(stars)", "sum(2 * stars)"))
    versions = declared(replace(DECLARATIONS, rollups=(*DECLARATIONS.rollups[:-1], doubled)))
    assert versions == {
        **dict.fromkeys(("item_ratings", "rated_often", "item_scores", "shop_scores", "item_page", "shop_page"), 2),
        **dict.fromkeys(("kind_amounts", "kind_page"), 1),
    }
    assert rows("read_models.shop_page", "id, reputation") == [(1, 6), (2, None)]


def test_a_new_rollup_counts_what_was_there_before(rating_pipeline, declared, store_database):
    rating_pipeline.commit(rated(1, 1, 5), rated(2, 1, 1))
    declared(Declarations())
    rating_pipeline.commit(rated(3, 1, 4))
    declared(DECLARATIONS)
    assert_as_expected(rating_pipeline, store_database)


def test_what_is_declared_no_more_is_dropped_and_never_comes_back_stale(rating_pipeline, declared, rows):
    rating_pipeline.commit(rated(1, 1, 5))
    declared(DECLARATIONS)
    rating_pipeline.commit(rated(1, 2, 5))
    assert declared(Declarations()) == {}
    assert rows("pg_tables where schemaname in ('rollups', 'read_models')", "tablename") == []
    declared(DECLARATIONS)
    assert rows("rollups.item_ratings", "ratings") == [(2,)]


def test_an_index_on_the_mirror_lives_as_long_as_somebody_asks_for_it(rating_pipeline, declared, rows):
    def asked_for() -> list[str]:
        named = rows("pg_indexes where schemaname = 'mirror' and indexname ~ '^declared_'", "indexdef")
        return [definition.partition(" USING ")[2] for (definition,) in named]

    declared(DECLARATIONS)
    there = asked_for()
    assert sorted(there) == ["btree (item_id, at DESC, author DESC)", "btree (item_id, stars DESC)"]
    declared(DECLARATIONS)
    assert asked_for() == there
    declared(replace(DECLARATIONS, read_models=tuple(m for m in DECLARATIONS.read_models if m is not ITEM_PAGE)))
    assert asked_for() == []


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        ("sum(stars::float8)", "measure n is float8"),
        ("sum(amount)::numeric(9, 2)", "measure n is rounded after it is summed"),
        ("count(*)::text", "measure n is text"),
        ("sum(price)", 'column "price" does not exist'),
    ],
)
def test_a_measure_that_would_not_be_exact_is_refused(declared, measure, said):
    wrong = replace(ITEM_RATINGS, query=f"select item_id, {measure} as n from changed group by item_id")
    with pytest.raises(Fatal, match="item_ratings") as refused:
        declared(Declarations(rollups=(wrong,)))
    assert said in str(refused.value)


def test_an_index_that_cannot_be_made_names_who_asked(declared):
    wrong = replace(ITEM_PAGE, mirror_indexes={"ratings": ("(price)",)})
    with pytest.raises(Fatal, match=r"item_page asks for an index on mirror\.ratings: column \"price\" does not exist"):
        declared(
            replace(DECLARATIONS, read_models=tuple(wrong if m is ITEM_PAGE else m for m in DECLARATIONS.read_models))
        )


def test_rows_of_the_tests_own_declarations_are_what_plain_sql_says():
    assert {one.reference for one in DECLARATIONS.maintained} == ratings.EXPECTED.keys()

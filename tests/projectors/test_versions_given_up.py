"""A version that does not serve, or not for long, stops no batch that it cannot be computed for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc.errors import Refused
from projectors.read_model import ReadModel
from tests.projectors.ratings import assert_as_expected, rated
from tests.projectors.test_versions_found import with_model

SHARE = ReadModel(
    name="share",
    comment="One row per rating.",
    key=("item_id", "author"),
    columns="item_id int, author int, n int, primary key (item_id, author)",
    affected_by={"ratings": "select item_id, author from changed"},
    query="""
        select r.item_id, r.author, 10 / r.stars as n
          from affected a
          join mirror.ratings r on r.item_id = a.item_id and r.author = a.author
    """,
)
MENDED = replace(SHARE, query=SHARE.query.replace("r.stars", "nullif(r.stars, 0)"))


def test_a_declaration_that_fails_on_a_row_is_mended_by_another(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.declarations = with_model(SHARE, SHARE)
    shop.project()
    shop.pipeline.commit(rated(1, 2, 0))
    with pytest.raises(Refused):
        shop.project()
    shop.declarations = with_model(SHARE, MENDED)
    shop.project()
    assert shop.store("select author, n from read_models.share order by 1") == [(1, 2), (2, None)]
    assert_as_expected(shop.pipeline, shop.dsn)


def test_a_next_version_that_fails_on_a_row_of_a_batch_fails_alone(shop):
    shop.pipeline.commit(rated(1, 1, 5), rated(2, 1, 5), rated(3, 1, 5))
    shop.declarations = with_model(SHARE, MENDED)
    shop.project()
    shop.declarations = with_model(SHARE, SHARE)
    shop.project(turns=2)
    shop.pipeline.commit(rated(1, 2, 0))
    shop.project()
    assert shop.states() == ["failed"]
    assert shop.store("select n from read_models.share where author = 2") == [(None,)]


def test_a_former_version_that_fails_on_a_row_is_forgotten(shop):
    shop.pipeline.commit(rated(1, 1, 5))
    shop.declarations = with_model(SHARE, SHARE)
    shop.project()
    shop.declarations = with_model(SHARE, MENDED)
    shop.project()
    shop.pipeline.commit(rated(1, 2, 0))
    shop.project()
    assert shop.store("select n from read_models.share where author = 2") == [(None,)]
    assert "share__former" not in shop.versions()

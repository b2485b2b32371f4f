"""While somebody watches a read model, each commit names the keys of the rows that it changed: just those."""

from __future__ import annotations

from projectors.serving import pushes
from projectors.serving.store import ServingStore
from tests.projectors.ratings import assert_as_expected, rated


def test_keys_are_named_of_what_is_watched_and_of_nothing_else(rating_pipeline, listener, store_database):
    rating_pipeline.commit(rated(1, 1, 5))
    rating_pipeline.project().close()
    assert listener.heard() == []
    assert listener.watch("item_page") is False
    rating_pipeline.commit(rated(2, 1, 5), "update shops set region = 'east'")
    rating_pipeline.project().close()  # which takes it up, before or after it applies this
    assert listener.watch("item_page") is True
    listener.heard()
    rating_pipeline.commit(rated(3, 1, 5), rated(1, 2, 4))
    rating_pipeline.commit("update shops set region = 'west'")
    rating_pipeline.commit("delete from items where id = 2")
    store: ServingStore = rating_pipeline.project()
    named = [key for model, keys in listener.heard() for key in keys if model == "item_page"]
    assert sorted(named) == [["1"], ["2"], ["3"]]
    assert_as_expected(rating_pipeline, store_database)
    store.close()


def test_keys_of_several_columns_and_very_many(rating_pipeline, listener, store_database):
    listener.watch("kind_page")
    listener.watch("item_scores")
    rating_pipeline.commit(rated(1, 1, 5))
    rating_pipeline.project().close()
    listener.heard()
    rating_pipeline.commit(rated(2, 1, 5, kind="'other'"))
    rating_pipeline.commit("insert into items select n, 1, 'saw' from generate_series(1000, 1120) n")
    rating_pipeline.project().close()
    heard = listener.heard()
    assert ("kind_page", [["2", "other"]]) in heard
    many = [key for model, keys in heard for key in keys if model == "item_scores"]
    assert len(many) == 122 and len(heard) >= 4  # some at a time
    rating_pipeline.commit("insert into items select n, 1, 'saw' from generate_series(2000, 3000) n")
    rating_pipeline.project().close()
    assert ("item_scores", None) in listener.heard()
    assert_as_expected(rating_pipeline, store_database)


def test_a_key_too_long_for_a_notification_is_not_named_and_stops_nothing(rating_pipeline, listener):
    listener.watch("kind_page")
    rating_pipeline.commit(rated(1, 1, 5))
    rating_pipeline.project().close()
    listener.heard()
    rating_pipeline.commit(rated(2, 1, 5, kind="repeat('æ', 5000)"))
    rating_pipeline.project().close()
    assert listener.heard() == [("kind_page", None)]


def test_a_projector_that_begins_names_the_keys_of_its_first_commit(rating_pipeline, listener, monkeypatch):
    listener.watch("item_page")
    rating_pipeline.project().close()
    assert listener.watch("item_page") is True
    monkeypatch.setattr(pushes, "LOOK_S", 1e9)  # it has no time to look before
    rating_pipeline.commit(rated(3, 1, 5))
    rating_pipeline.project().close()
    assert ("item_page", [["3"]]) in listener.heard()


def test_who_lets_go_and_comes_again_between_two_looks_is_told_again(rating_pipeline, listener, store_rows):
    listener.watch("item_page")
    rating_pipeline.project().close()
    store_rows("delete from readside.watched returning 1")
    assert listener.watch("item_page") is False
    rating_pipeline.project().close()
    assert listener.watch("item_page") is True


def test_nobody_watches_what_is_no_read_model(listener):
    assert listener.watch("item_ratings") is None
    assert listener.watch("nothing; drop table x") is None

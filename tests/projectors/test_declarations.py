"""Mistakes in declarations fail at import, and say what to change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from projectors.declaration import DeclarationError, relations
from projectors.read_model import Declarations, ReadModel
from projectors.rollup import Rollup

COUNT = Rollup(
    name="counts",
    comment="One row per item.",
    of="ratings",
    key=("item_id",),
    query="select item_id, count(*) as n from changed group by item_id",
)
PAGE = ReadModel(
    name="page",
    comment="One row per item.",
    key=("id",),
    columns="id int primary key, n bigint",
    affected_by={"rollups.counts": "select item_id from changed"},
    query="select item_id as id, n from rollups.counts where item_id in (select id from affected)",
)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "Counts"}, "no name for a table"),
        ({"key": ()}, "has no key"),
        ({"key": ("item_id", "kind")}, "its query has no column kind"),
        ({"of": "mirror.ratings"}, "name a source table alone, as in of='ratings'"),
        ({"query": "select item_id, count(*) as n from ratings group by item_id"}, "must select from changed"),
        ({"query": "select item_id, 1 as n from changed"}, "group by item_id"),
        ({"query": COUNT.query.replace("changed", "changed join mirror.items i on true")}, "reads mirror.items"),
        ({"query": COUNT.query.replace("count(*)", "avg(stars)")}, "avg does not add up"),
        ({"query": COUNT.query.replace("count(*)", "max (stars)")}, "max does not add up"),
        ({"query": COUNT.query.replace("count(*)", "count(distinct author)")}, "distinct does not add up"),
        ({"query": COUNT.query + " having count(*) > 1"}, "having does not add up"),
        ({"query": COUNT.query.replace("count(*)", "count(*) filter (where at > now())")}, "use the row's columns"),
    ],
)
def test_a_wrong_rollup_says_what_to_change(wrong, said):
    with pytest.raises(DeclarationError, match=r"[Cc]ounts") as refused:
        replace(COUNT, **wrong)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "measure",
    [
        "count(*) filter (where stars is distinct from 5)",
        "count(*) filter (where kind = 'max(') /* avg( */ -- having",
        "sum(max_stars)",
        "sum(current_price)",
    ],
)
def test_what_only_looks_wrong_is_let_through(measure):
    replace(COUNT, query=f"select item_id, {measure}\n as n from changed group by item_id")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"affected_by": {"ratings": "select item_id from changed"}}, "add rollups.counts to affected_by"),
        ({"affected_by": PAGE.affected_by | {"items": "select id from changed"}}, "never reads; remove it"),
        ({"affected_by": {"rollups.counts": "select 1"}}, "never mentions changed"),
        ({"mirror_indexes": {"ratings": ("(item_id)",)}}, "mirror_indexes names ratings"),
        (
            {
                "store": "analytics",
                "affected_by": {"read_models.counts": "select item_id from changed"},
                "query": PAGE.query.replace("rollups.", "read_models."),
            },
            "there, take mirror.…, or a rollup",
        ),
    ],
)
def test_a_wrong_read_model_says_what_to_change(wrong, said):
    with pytest.raises(DeclarationError) as refused:
        replace(PAGE, **wrong)
    assert said in str(refused.value)


def test_a_name_that_nobody_declared_is_named():
    with pytest.raises(DeclarationError, match=r"page reads rollups\.counts, which is not declared"):
        Declarations((PAGE,))
    with pytest.raises(DeclarationError, match=r"counts reads read_models\.scores, which is not declared"):
        Declarations(rollups=(replace(COUNT, of="read_models.scores"),))


def test_a_store_reads_what_is_declared_for_it():
    with pytest.raises(
        DeclarationError, match=r"page reads rollups\.counts, which is not declared for the analytics store"
    ):
        Declarations(read_models=(replace(PAGE, store="analytics"),), rollups=(COUNT,))
    Declarations(read_models=(replace(PAGE, store="analytics"),), rollups=(replace(COUNT, store="analytics"),))


def test_one_name_stands_for_one_thing():
    with pytest.raises(DeclarationError, match="declared twice: counts"):
        Declarations((replace(PAGE, name="counts"),), (), (COUNT,))


def test_a_circle_is_told_as_a_circle():
    with pytest.raises(DeclarationError, match=r"(reads .*){2}: none of them can be first"):
        Declarations((PAGE,), (), (replace(COUNT, of="read_models.page"),))


def test_what_is_read_comes_first_and_changes_its_readers_fingerprints():
    declared = Declarations((PAGE,), (), (COUNT,))
    changed = Declarations((PAGE,), (), (replace(COUNT, query=COUNT.query.replace("count(*)", "sum(stars)")),))
    assert [one.reference for one in declared.maintained] == ["rollups.counts", "read_models.page"]
    assert declared.fingerprints()["page"] != changed.fingerprints()["page"]
    assert declared.tables == {"ratings"}


def test_quoted_and_bare_names_are_read():
    assert relations('mirror."Odd ""Name""" join MIRROR.x join mirror.Orders join rollups.r') == {
        'Odd "Name"',
        "orders",
        "rollups.r",
    }

"""Declarations of the tests' own: shops with items that people rate, and every form a rollup can take over them."""

from __future__ import annotations

import psycopg

from projectors.read_model import Declarations, ReadModel
from projectors.rollup import Rollup

TABLES = """
    drop publication readside;
    create table shops (id int primary key, region text);
    create table items (id int primary key, shop_id int, name text);
    create table ratings (
        item_id int, author int, stars int not null, amount numeric, kind text, at int not null, body text,
        primary key (item_id, author));
    create publication readside for table shops, items, ratings;
"""

ITEM_RATINGS = Rollup(
    name="item_ratings",
    comment="One row per rated item.",
    of="ratings",
    key=("item_id",),
    query="""
        select item_id, count(*) as ratings, sum(stars) as stars, count(*) filter (where stars = 5) as five,
               count(*) filter (where stars = 1) as one
          from changed
         group by item_id
    """,
)

KIND_AMOUNTS = Rollup(
    name="kind_amounts",
    comment="One row per item and kind of rating.",
    of="ratings",
    key=("kind", "item_id"),
    query="""
        with paid as (select kind, item_id, amount from changed)
        select item_id, kind, count(amount) as paid, sum(amount) as amount
          from paid
         group by item_id, kind  -- some have no kind, some no amount
    """,
)

RATED_OFTEN = Rollup(
    name="rated_often",
    comment="How many items have that many ratings.",
    of="rollups.item_ratings",
    key=("ratings",),
    query="select ratings, count(*) as items, sum(stars) as stars from changed group by ratings",
)

SHOP_SCORES = Rollup(
    name="shop_scores",
    comment="One row per shop with rated items.",
    of="read_models.item_scores",
    key=("shop_id",),
    query="select shop_id, sum(ratings) as ratings, sum(stars) as stars from changed group by shop_id",
)

ITEM_SCORES = ReadModel(
    name="item_scores",
    comment="One row per item: its shop, and its ratings counted.",
    key=("id",),
    columns="id int primary key, shop_id int, ratings bigint not null, stars bigint not null",
    affected_by={"items": "select id from changed", "rollups.item_ratings": "select item_id from changed"},
    query="""
        select i.id, i.shop_id, coalesce(r.ratings, 0) as ratings, coalesce(r.stars, 0) as stars
          from affected a
          join mirror.items i on i.id = a.id
          left join rollups.item_ratings r on r.item_id = i.id
    """,
)

ITEM_PAGE = ReadModel(
    name="item_page",
    comment="One row per item: average, histogram, the first, the highest and the latest ratings.",
    key=("id",),
    columns="""
        id int primary key, name text, average numeric, histogram jsonb not null, first int, highest int, latest jsonb
    """,
    mirror_indexes={
        "ratings": ("(item_id, at desc, author desc)", "(item_id, stars desc)"),
    },
    affected_by={
        "items": "select id from changed",
        "ratings": "select item_id from changed",
        "rollups.item_ratings": "select item_id from changed",
    },
    query="""
        select i.id, i.name, round(r.stars::numeric / r.ratings, 2) as average,
               jsonb_build_object('5', coalesce(r.five, 0), '1', coalesce(r.one, 0)) as histogram,
               (select min(f.at) from mirror.ratings f where f.item_id = i.id) as first,
               (select max(h.stars) from mirror.ratings h where h.item_id = i.id) as highest,
               (select jsonb_agg(l.author order by l.at desc, l.author desc)
                  from (select author, at from mirror.ratings where item_id = i.id order by at desc, author desc limit 3)
                       l) as latest
          from affected a
          join mirror.items i on i.id = a.id
          left join rollups.item_ratings r on r.item_id = i.id
    """,
)

KIND_PAGE = ReadModel(
    name="kind_page",
    comment="One row per item and kind.",
    key=("item_id", "kind"),
    columns="item_id int, kind text, name text, amount numeric, primary key (item_id, kind)",
    affected_by={
        "items": "select k.item_id, k.kind from changed c join rollups.kind_amounts k on k.item_id = c.id",
        "rollups.kind_amounts": "select item_id, kind from changed",
    },
    query="""
        select k.item_id, k.kind, i.name, k.amount
          from affected a
          join rollups.kind_amounts k on k.item_id = a.item_id and k.kind = a.kind
          left join mirror.items i on i.id = k.item_id
    """,
)

SHOP_PAGE = ReadModel(
    name="shop_page",
    comment="One row per shop: its reputation over all its items.",
    key=("id",),
    columns="id int primary key, region text, ratings bigint not null, reputation numeric",
    affected_by={"shops": "select id from changed", "rollups.shop_scores": "select shop_id from changed"},
    query="""
        select s.id, s.region, coalesce(r.ratings, 0) as ratings,
               round(r.stars::numeric / nullif(r.ratings, 0), 2) as reputation
          from affected a
          join mirror.shops s on s.id = a.id
          left join rollups.shop_scores r on r.shop_id = s.id
    """,
)

DECLARATIONS = Declarations(
    # Not in an order in which they could be computed: the engine finds that.
    read_models=(SHOP_PAGE, KIND_PAGE, ITEM_PAGE, ITEM_SCORES),
    rollups=(SHOP_SCORES, RATED_OFTEN, KIND_AMOUNTS, ITEM_RATINGS),
)

#: What each must hold, by SQL on the source that shares nothing with the engine.
EXPECTED = {
    "rollups.item_ratings": """
        select item_id, count(*), sum(stars), sum((stars = 5)::int), sum((stars = 1)::int) from ratings group by 1""",
    "rollups.kind_amounts": """
        select item_id, kind, paid, amount
          from (select item_id, kind, sum((amount is not null)::int) as paid, coalesce(sum(amount), 0) as amount
                  from ratings where kind is not null group by 1, 2) k
         where paid <> 0 or amount <> 0""",
    "rollups.rated_often": """
        select n, count(*), sum(s)
          from (select count(*) as n, sum(stars) as s from ratings group by item_id) i group by n""",
    "rollups.shop_scores": """
        select i.shop_id, count(*), sum(stars) from items i join ratings r on r.item_id = i.id
         where i.shop_id is not null group by 1""",
    "read_models.item_scores": """
        select i.id, i.shop_id, count(r.stars), coalesce(sum(r.stars), 0)
          from items i left join ratings r on r.item_id = i.id group by i.id""",
    "read_models.item_page": """
        select i.id, i.name, round(avg(r.stars), 2),
               jsonb_build_object('5', count(*) filter (where stars = 5), '1', count(*) filter (where stars = 1)),
               min(r.at), max(r.stars), to_jsonb((array_agg(r.author order by r.at desc, r.author desc)
                                                    filter (where r.author is not null))[:3])
          from items i left join ratings r on r.item_id = i.id group by i.id""",
    "read_models.kind_page": """
        select k.item_id, k.kind, i.name, k.amount
          from (select item_id, kind, count(amount) as paid, coalesce(sum(amount), 0) as amount
                  from ratings where kind is not null group by 1, 2) k
          left join items i on i.id = k.item_id
         where paid <> 0 or amount <> 0""",
    "read_models.shop_page": """
        select s.id, s.region, count(r.stars), round(avg(r.stars), 2)
          from shops s left join items i on i.shop_id = s.id left join ratings r on r.item_id = i.id group by s.id""",
}


def rated(item: int, author: int, stars: int, *, amount: str = "1", kind: str = "'k'") -> str:
    return f"insert into ratings values ({item}, {author}, {stars}, {amount}, {kind}, {author}, 'fine')"


def assert_as_expected(pipeline, store_dsn: str, suffix: str = "") -> None:
    """``suffix``: of the names of other versions, of which only those are looked at that are there."""
    with psycopg.connect(store_dsn) as store:
        for name, query in EXPECTED.items():
            if suffix and store.execute("select to_regclass(%s)", (f"{name}{suffix}",)).fetchone() == (None,):
                continue
            names = [column.name for column in pipeline.sql(query).description]
            expected = pipeline.sql(query).fetchall()
            kept = store.execute(f"select * from {name}{suffix}").fetchall()
            assert sorted(map(repr, plain(kept))) == sorted(map(repr, plain(expected))), (name, names)


def plain(rows):
    """Numbers by value: 2.50 is 2.5, and NaN is itself."""
    return [tuple(str(float(v)) if hasattr(v, "as_tuple") or isinstance(v, int) else v for v in row) for row in rows]

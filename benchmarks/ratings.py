"""Read models of ``bench hot-keys``: every form that a group of a million rows must not make dear."""

from projectors.read_model import Declarations, ReadModel
from projectors.read_models import DECLARATIONS as REGISTERED
from projectors.rollup import Rollup

_RATINGS = Rollup(
    name="bench_ratings",
    comment="One row per reviewed product.",
    of="reviews",
    key=("product_id",),
    query="""
        select product_id, count(*) as reviews, sum(rating) as stars, count(*) filter (where rating = 5) as five,
               count(*) filter (where rating = 4) as four, count(*) filter (where rating = 3) as three,
               count(*) filter (where rating = 2) as two, count(*) filter (where rating = 1) as one
          from changed
         group by product_id
    """,
)

_PRODUCT = ReadModel(
    name="bench_product",
    comment="One row per product: average, histogram, first and best, and the latest five reviews.",
    key=("id",),
    columns="""
        id bigint primary key, seller_id bigint not null, reviews bigint not null, stars bigint not null, document jsonb
    """,
    mirror_indexes={"reviews": ("(product_id, created_at desc, id desc)", "(product_id, rating)")},
    affected_by={
        "products": "select id from changed",
        "reviews": "select product_id from changed",
        "rollups.bench_ratings": "select product_id from changed",
    },
    query="""
        select p.id, p.seller_id, coalesce(r.reviews, 0) as reviews, coalesce(r.stars, 0) as stars,
               jsonb_build_object(
                 'average', round(r.stars::numeric / r.reviews, 2),
                 'histogram', jsonb_build_object(
                   '5', r.five, '4', r.four, '3', r.three, '2', r.two, '1', r.one),
                 'first', (select min(f.created_at) from mirror.reviews f where f.product_id = p.id),
                 'best', (select max(b.rating) from mirror.reviews b where b.product_id = p.id),
                 'latest', (
                   select jsonb_agg(l.body order by l.created_at desc, l.id desc)
                     from (select id, body, created_at
                             from mirror.reviews
                            where product_id = p.id
                            order by created_at desc, id desc
                            limit 5) l)) as document
          from affected a
          join mirror.products p on p.id = a.id
          left join rollups.bench_ratings r on r.product_id = p.id
    """,
)

_SELLERS = Rollup(
    name="bench_sellers",
    comment="One row per seller with reviewed products.",
    of="read_models.bench_product",
    key=("seller_id",),
    query="select seller_id, sum(reviews) as reviews, sum(stars) as stars from changed group by seller_id",
)

_REPUTATION = ReadModel(
    name="bench_reputation",
    comment="One row per seller with reviewed products.",
    key=("seller_id",),
    columns="seller_id bigint primary key, reputation numeric",
    affected_by={"rollups.bench_sellers": "select seller_id from changed"},
    query="""
        select s.seller_id, round(s.stars::numeric / nullif(s.reviews, 0), 2) as reputation
          from affected a
          join rollups.bench_sellers s on s.seller_id = a.seller_id
    """,
)

_SERVING = REGISTERED.of_store("serving")
DECLARATIONS = Declarations(
    (*_SERVING.read_models, _PRODUCT, _REPUTATION), _SERVING.histories, (*_SERVING.rollups, _RATINGS, _SELLERS)
)

"""One row per product: what lists of products show, and what they are sorted and filtered by."""

from projectors.read_model import ReadModel
from projectors.rollup import Rollup

PRODUCT_RATINGS = Rollup(
    name="product_ratings",
    comment="One row per product with reviews.",
    of="reviews",
    key=("product_id",),
    query="""
        select product_id, count(*) as review_count, sum(rating) as rating_sum,
               count(*) filter (where rating = 1) as ratings_1,
               count(*) filter (where rating = 2) as ratings_2,
               count(*) filter (where rating = 3) as ratings_3,
               count(*) filter (where rating = 4) as ratings_4,
               count(*) filter (where rating = 5) as ratings_5
          from changed
         group by product_id
    """,
)

PRODUCT_CARD = ReadModel(
    name="product_card",
    comment="One row per product, as lists and other products' pages show it.",
    key=("id",),
    # Every sort of the list goes upwards in (column, id), so ratings, which are to fall, are kept below zero.
    columns="""
        id             bigint primary key,
        category_id    bigint not null,
        seller_id      bigint not null,
        price          numeric(12, 2) not null,
        rating_falling numeric(3, 2) not null,
        created_at     timestamptz not null,
        review_count   bigint not null,
        rating_sum     bigint not null,
        document       jsonb not null
    """,
    indexes=(
        "(rating_falling, id)",
        "(price, id)",
        "(created_at desc, id desc)",
        "(category_id, rating_falling, id)",
        "(category_id, price, id)",
        "(category_id, created_at desc, id desc)",
    ),
    affected_by={
        "products": "select id from changed",
        "categories": "select p.id from changed c join mirror.products p on p.category_id = c.id",
        "stock": "select product_id from changed",
        "rollups.product_ratings": "select product_id from changed",
    },
    query="""
        select p.id, p.category_id, p.seller_id, p.price, -coalesce(r.average_rating, 0) as rating_falling, p.created_at,
               coalesce(r.review_count, 0) as review_count, coalesce(r.rating_sum, 0) as rating_sum,
               jsonb_build_object(
                 'id', p.id::text,
                 'sku', p.sku,
                 'name', p.name,
                 'image_url', p.image_url,
                 'category', k.name,
                 'category_id', k.id::text,
                 'price', p.price::text,
                 'currency', p.currency,
                 'in_stock', coalesce(s.on_hand - s.reserved, 0) > 0,
                 'available', coalesce(s.on_hand - s.reserved, 0),
                 'average_rating', r.average_rating,
                 'review_count', coalesce(r.review_count, 0),
                 'created_at', readside.rfc3339(p.created_at),
                 'version', p.version) as document
          from affected a
          join mirror.products p on p.id = a.id
          join mirror.categories k on k.id = p.category_id
          left join mirror.stock s on s.product_id = p.id
          left join lateral (
            select review_count, rating_sum, round(rating_sum::numeric / review_count, 2) as average_rating
              from rollups.product_ratings
             where product_id = p.id) r on true
    """,
)

"""One row per product: the whole product page."""

from projectors.read_model import Embed, ReadModel
from projectors.rollup import Rollup

SELLER_RATINGS = Rollup(
    name="seller_ratings",
    comment="One row per seller with products.",
    of="read_models.product_card",
    key=("seller_id",),
    query="""
        select seller_id, count(*) as product_count, sum(review_count)::bigint as review_count,
               sum(rating_sum)::bigint as rating_sum
          from changed
         group by seller_id
    """,
)

SELLER_CARD = ReadModel(
    name="seller_card",
    comment="One row per seller, as their products' pages show it.",
    key=("id",),
    columns="""
        id       bigint primary key,
        document jsonb not null
    """,
    affected_by={
        "sellers": "select id from changed",
        "rollups.seller_ratings": "select seller_id from changed",
    },
    query="""
        select v.id,
               jsonb_build_object(
                 'id', v.id::text,
                 'name', v.name,
                 'reputation', round(w.rating_sum::numeric / nullif(w.review_count, 0), 2),
                 'review_count', coalesce(w.review_count, 0),
                 'product_count', coalesce(w.product_count, 0)) as document
          from affected a
          join mirror.sellers v on v.id = a.id
          left join rollups.seller_ratings w on w.seller_id = v.id
    """,
)

PRODUCT_PAGE = ReadModel(
    name="product_page",
    comment="One row per product: everything its page shows.",
    key=("id",),
    # The seller stands beside the rest: a review of any of the seller's products changes it on all of their pages.
    columns="""
        id        bigint primary key,
        version   bigint not null,
        seller_id bigint not null,
        document  jsonb not null,
        seller    jsonb not null
    """,
    indexes=("(seller_id)",),
    # Pages with room for such updates, and what they do not touch out of their way.
    storage="fillfactor = 70, toast_tuple_target = 256",
    embeds={"seller": Embed(of="read_models.seller_card", column="document", by="seller_id")},
    mirror_indexes={
        "reviews": ("(product_id, created_at desc, id desc)",),
        "price_changes": ("(product_id, changed_at desc, id desc)",),
    },
    affected_by={
        "products": "select id from changed",
        "reviews": "select product_id from changed",
        "users": "select r.product_id from changed c join mirror.reviews r on r.user_id = c.id",
        "price_changes": "select product_id from changed",
        "related_products": "select product_id from changed",
        "rollups.product_ratings": "select product_id from changed",
        "read_models.seller_card": "select p.id from changed c join mirror.products p on p.seller_id = c.id",
        "read_models.product_card": """
            select id from changed
             union all
            select r.product_id from changed c join mirror.related_products r on r.related_id = c.id
        """,
    },
    query="""
        select p.id, p.version, p.seller_id, v.document as seller,
               -- What lists show of it, and the rest.
               b.document - 'created_at' || jsonb_build_object(
                 'description', p.description,
                 'rating_histogram', jsonb_build_object(
                   '1', coalesce(r.ratings_1, 0),
                   '2', coalesce(r.ratings_2, 0),
                   '3', coalesce(r.ratings_3, 0),
                   '4', coalesce(r.ratings_4, 0),
                   '5', coalesce(r.ratings_5, 0)),
                 'latest_reviews', coalesce(l.reviews, '[]'),
                 'related', coalesce(n.related, '[]'),
                 'price_history', coalesce(h.prices, '[]')) as document
          from affected a
          join mirror.products p on p.id = a.id
          join read_models.product_card b on b.id = p.id
          join read_models.seller_card v on v.id = p.seller_id
          left join rollups.product_ratings r on r.product_id = p.id
          left join lateral (
            select jsonb_agg(
                     jsonb_build_object(
                       'id', e.id::text,
                       'author', jsonb_build_object('id', u.id::text, 'display_name', u.display_name),
                       'rating', e.rating,
                       'body', e.body,
                       'created_at', readside.rfc3339(e.created_at))
                     order by e.created_at desc, e.id desc) as reviews
              from (select id, user_id, rating, body, created_at
                      from mirror.reviews
                     where product_id = p.id
                     order by created_at desc, id desc
                     limit 5) e
              join mirror.users u on u.id = e.user_id) l on true
          left join lateral (
            select jsonb_agg(
                     jsonb_build_object(
                       'id', c.id::text,
                       'name', c.document->'name',
                       'price', c.document->'price',
                       'average_rating', c.document->'average_rating')
                     order by c.id) as related
              from mirror.related_products o
              join read_models.product_card c on c.id = o.related_id
             where o.product_id = p.id) n on true
          left join lateral (
            select jsonb_agg(
                     jsonb_build_object('at', readside.rfc3339(c.changed_at), 'price', c.new_price::text)
                     order by c.changed_at desc, c.id desc) as prices
              from (select id, changed_at, new_price
                      from mirror.price_changes
                     where product_id = p.id
                     order by changed_at desc, id desc
                     limit 30) c) h on true
    """,
)

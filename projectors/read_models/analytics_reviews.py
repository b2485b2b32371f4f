"""Analytics: one row per review."""

from projectors.read_model import ReadModel

REVIEWS = ReadModel(
    store="analytics",
    name="reviews",
    comment="One row per review of a product.",
    key=("id",),
    columns="""
        id          bigint not null,
        product_id  bigint not null,
        customer_id bigint not null,
        rating      smallint not null,
        body        varchar not null,
        created_at  timestamptz not null
    """,
    affected_by={"reviews": "select id from changed"},
    query="""
        select id, product_id, user_id as customer_id, rating, body, created_at
          from mirror.reviews
         where id in (select id from affected)
    """,
)

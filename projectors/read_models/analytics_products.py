"""Analytics: one row per product, with its seller and category."""

from projectors.read_model import ReadModel

PRODUCTS = ReadModel(
    store="analytics",
    name="products",
    comment="One row per product, with its seller, its category and today's price.",
    key=("id",),
    columns="""
        id          bigint not null,
        sku         varchar not null,
        name        varchar not null,
        seller_id   bigint not null,
        seller      varchar not null,
        category_id bigint not null,
        category    varchar not null,
        price       decimal(12, 2) not null,
        currency    varchar not null,
        created_at  timestamptz not null
    """,
    affected_by={
        "products": "select id from changed",
        "sellers": "select p.id from mirror.products p where p.seller_id in (select id from changed)",
        "categories": "select p.id from mirror.products p where p.category_id in (select id from changed)",
    },
    query="""
        select p.id, p.sku, p.name, p.seller_id, s.name as seller, p.category_id, c.name as category, p.price, p.currency,
               p.created_at
          from mirror.products p
          join mirror.sellers s on s.id = p.seller_id
          join mirror.categories c on c.id = p.category_id
         where p.id in (select id from affected)
    """,
)

"""Analytics: one row per order, with who placed it."""

from projectors.read_model import ReadModel

ORDERS = ReadModel(
    store="analytics",
    name="orders",
    comment="One row per order, with its customer.",
    key=("id",),
    columns="""
        id             bigint not null,
        number         varchar not null,
        customer_id    bigint not null,
        customer_name  varchar not null,
        customer_email varchar not null,
        loyalty_tier   varchar not null,
        status         varchar not null,
        currency       varchar not null,
        subtotal       decimal(12, 2) not null,
        tax            decimal(12, 2) not null,
        shipping       decimal(12, 2) not null,
        total          decimal(12, 2) not null,
        item_count     bigint not null,
        placed_at      timestamptz not null,
        updated_at     timestamptz not null
    """,
    affected_by={
        "orders": "select id from changed",
        "users": "select o.id from changed c join mirror.orders o on o.user_id = c.id",
        "order_items": "select order_id from changed",
    },
    query="""
        select o.id, o.number, o.user_id as customer_id, u.first_name || ' ' || u.last_name as customer_name,
               u.email as customer_email, u.loyalty_tier, o.status, o.currency, o.subtotal, o.tax, o.shipping, o.total,
               coalesce(i.item_count, 0) as item_count, o.placed_at, o.updated_at
          from mirror.orders o
          join mirror.users u on u.id = o.user_id
          left join (
            select order_id, count(*) as item_count
              from mirror.order_items
             where order_id in (select id from affected)
             group by order_id) i on i.order_id = o.id
         where o.id in (select id from affected)
    """,
)

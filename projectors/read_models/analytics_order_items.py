"""Analytics: one row per order line, with its order's status and time."""

from projectors.read_model import ReadModel

ORDER_ITEMS = ReadModel(
    store="analytics",
    name="order_items",
    comment="One row per order line, with what its order says of it.",
    key=("id",),
    columns="""
        id           bigint not null,
        order_id     bigint not null,
        product_id   bigint not null,
        customer_id  bigint not null,
        sku          varchar not null,
        name         varchar not null,
        unit_price   decimal(12, 2) not null,
        quantity     bigint not null,
        line_total   decimal(12, 2) not null,
        order_status varchar not null,
        placed_at    timestamptz not null
    """,
    affected_by={
        "order_items": "select id from changed",
        "orders": "select i.id from mirror.order_items i where i.order_id in (select id from changed)",
    },
    query="""
        select i.id, i.order_id, i.product_id, o.user_id as customer_id, i.sku, i.name, i.unit_price, i.quantity,
               i.unit_price * i.quantity as line_total, o.status as order_status, o.placed_at
          from mirror.order_items i
          join mirror.orders o on o.id = i.order_id
         where i.id in (select id from affected)
    """,
)

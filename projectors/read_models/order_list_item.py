"""One row per order: what a list of orders shows, and what a search for orders looks at."""

from projectors.read_model import ReadModel

ORDER_LIST_ITEM = ReadModel(
    name="order_list_item",
    comment="One row per order, as lists and searches show it.",
    key=("id",),
    columns="""
        id        bigint primary key,
        user_id   bigint not null,
        status    text not null,
        placed_at timestamptz not null,
        search    tsvector not null,
        names     text not null,
        document  jsonb not null
    """,
    indexes=(
        "(user_id, placed_at desc, id desc)",
        "(placed_at desc, id desc)",
        "using gin (search)",
        "using gin (names gin_trgm_ops)",
    ),
    extensions=("pg_trgm",),
    affected_by={
        "orders": "select id from changed",
        "users": "select o.id from changed c join mirror.orders o on o.user_id = c.id",
        "order_items": "select order_id from changed",
    },
    query="""
        select o.id, o.user_id, o.status, o.placed_at,
               to_tsvector('simple', concat_ws(' ', o.number, u.first_name, u.last_name, i.names)) as search,
               lower(concat_ws(' ', u.first_name, u.last_name, i.names)) as names,
               jsonb_build_object(
                 'id', o.id::text,
                 'number', o.number,
                 'status', o.status,
                 'status_label', initcap(o.status),
                 'customer_name', u.first_name || ' ' || u.last_name,
                 'customer_email', u.email,
                 'item_count', coalesce(i.item_count, 0),
                 'item_preview', coalesce(i.item_preview, '[]'),
                 'subtotal', o.subtotal::text,
                 'tax', o.tax::text,
                 'shipping', o.shipping::text,
                 'total', o.total::text,
                 'currency', o.currency,
                 'estimated_delivery', o.estimated_delivery,
                 'can_cancel', o.status = 'pending',
                 'placed_at', readside.rfc3339(o.placed_at),
                 'updated_at', readside.rfc3339(o.updated_at),
                 'version', o.version) as document
          from affected a
          join mirror.orders o on o.id = a.id
          join mirror.users u on u.id = o.user_id
          left join lateral (
            select count(*) as item_count,
                   to_jsonb((array_agg(i.name order by i.id))[1:3]) as item_preview,
                   string_agg(i.name, ' ' order by i.id) as names
              from mirror.order_items i
             where i.order_id = o.id) i on true
    """,
)

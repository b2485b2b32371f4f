"""One row per order: the whole order page."""

from projectors.read_model import ReadModel

ORDER_DETAILS = ReadModel(
    name="order_details",
    comment="One row per order: everything its page shows.",
    key=("id",),
    columns="""
        id       bigint primary key,
        version  bigint not null,
        user_id  bigint not null,
        document jsonb not null
    """,
    affected_by={
        "orders": "select id from changed",
        "users": "select o.id from changed c join mirror.orders o on o.user_id = c.id",
        "order_items": "select order_id from changed",
        "payments": "select order_id from changed",
        "payment_transactions": "select p.order_id from changed c join mirror.payments p on p.id = c.payment_id",
    },
    query="""
        select o.id, o.version, o.user_id,
               jsonb_build_object(
                 'id', o.id::text,
                 'number', o.number,
                 'status', o.status,
                 'customer', jsonb_build_object(
                   'id', u.id::text,
                   'name', u.first_name || ' ' || u.last_name,
                   'email', u.email,
                   'phone', u.phone,
                   'loyalty_tier', u.loyalty_tier),
                 'items', coalesce(i.items, '[]'),
                 'shipping', jsonb_build_object(
                   'address', o.shipping_address,
                   'method', o.shipping_method,
                   'carrier', o.carrier,
                   'tracking_number', o.tracking_number,
                   'estimated_delivery', o.estimated_delivery),
                 'payment', p.payment,
                 'subtotal', o.subtotal::text,
                 'tax', o.tax::text,
                 'shipping_cost', o.shipping::text,
                 'total', o.total::text,
                 'currency', o.currency,
                 'can_cancel', o.status = 'pending',
                 'timeline', coalesce(t.timeline, '[]'),
                 'version', o.version,
                 'placed_at', readside.rfc3339(o.placed_at),
                 'updated_at', readside.rfc3339(o.updated_at)) as document
          from affected a
          join mirror.orders o on o.id = a.id
          join mirror.users u on u.id = o.user_id
          left join lateral (
            select jsonb_agg(
                     jsonb_build_object(
                       'product_id', i.product_id::text,
                       'sku', i.sku,
                       'name', i.name,
                       'image_url', i.image_url,
                       'unit_price', i.unit_price::text,
                       'quantity', i.quantity,
                       'discounts', i.discounts,
                       'line_total', (i.unit_price * i.quantity)::text)
                     order by i.id) as items
              from mirror.order_items i
             where i.order_id = o.id) i on true
          left join lateral (
            select jsonb_build_object(
                     'method', p.method,
                     'last_four', p.last_four,
                     'status', p.status,
                     'transactions', coalesce((
                       select jsonb_agg(
                                jsonb_build_object(
                                  'kind', pt.kind,
                                  'amount', pt.amount::text,
                                  'created_at', readside.rfc3339(pt.created_at))
                                order by pt.id)
                         from mirror.payment_transactions pt
                        where pt.payment_id = p.id), '[]')) as payment
              from mirror.payments p
             where p.order_id = o.id
             order by p.id desc
             limit 1) p on true
          left join lateral (
            select jsonb_agg(
                     jsonb_build_object(
                       'at', readside.rfc3339(h.at),
                       'status', h.status,
                       'what', case h.status
                                 when 'pending' then 'Order placed'
                                 when 'paid' then 'Payment received'
                                 when 'shipped' then 'Handed to the carrier'
                                 when 'delivered' then 'Delivered'
                                 when 'cancelled' then 'Cancelled'
                                 else h.status end)
                     order by h.end_lsn, h.place) as timeline
              from history.order_timeline h
             where h.order_id = o.id) t on true
    """,
)

-- expected
with line as (
    select order_id,
           json_agg(json_build_object('product_id', product_id::text, 'sku', sku, 'name', name, 'image_url', image_url,
                                      'unit_price', unit_price::text, 'quantity', quantity, 'discounts', discounts,
                                      'line_total', (quantity * unit_price)::text) order by id) as lines
      from public.order_items
     group by order_id),
money as (
    select p.order_id,
           json_build_object('method', p.method, 'last_four', p.last_four, 'status', p.status,
             'transactions', coalesce(
               json_agg(json_build_object('kind', t.kind, 'amount', t.amount::text,
                 'created_at', to_char(t.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) order by t.id)
               filter (where t.id is not null), '[]')) as payment
      from public.payments p
      left join public.payment_transactions t on t.payment_id = p.id
     group by p.id)
select o.id, o.version, o.user_id,
       (select to_jsonb(page)
          from (select o.id::text as id, o.number, o.status,
                       json_build_object('id', u.id::text, 'name', concat(u.first_name, ' ', u.last_name),
                         'email', u.email, 'phone', u.phone, 'loyalty_tier', u.loyalty_tier) as customer,
                       coalesce(line.lines, '[]') as items,
                       json_build_object('address', o.shipping_address, 'method', o.shipping_method,
                         'carrier', o.carrier, 'tracking_number', o.tracking_number,
                         'estimated_delivery', o.estimated_delivery) as shipping,
                       money.payment, o.subtotal::text as subtotal, o.tax::text as tax,
                       o.shipping::text as shipping_cost, o.total::text as total, o.currency,
                       o.status in ('pending') as can_cancel, o.version,
                       to_char(o.placed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as placed_at,
                       to_char(o.updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as updated_at) page)
         as document,
       o.status as last_in_timeline
  from public.orders o
  join public.users u on u.id = o.user_id
  left join line on line.order_id = o.id
  left join money on money.order_id = o.id
-- stored
select id, version, user_id, document - 'timeline' as document, document->'timeline'->-1->>'status' as last_in_timeline
  from read_models.order_details

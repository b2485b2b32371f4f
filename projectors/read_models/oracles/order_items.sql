-- expected
select i.id, i.order_id, i.product_id, o.user_id as customer_id, i.sku, i.name, i.unit_price::text as unit_price,
       i.quantity, (i.quantity * i.unit_price)::text as line_total, o.status as order_status,
       to_char(o.placed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as placed_at
  from public.orders o, public.order_items i
 where i.order_id = o.id
-- stored
select id, order_id, product_id, customer_id, sku, name, unit_price::varchar as unit_price, quantity,
       line_total::varchar as line_total, order_status, strftime(placed_at, '%Y-%m-%dT%H:%M:%S.%f') as placed_at
  from order_items

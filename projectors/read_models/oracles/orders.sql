-- expected
select o.id, o.number, o.user_id as customer_id, concat(u.first_name, ' ', u.last_name) as customer_name,
       u.email as customer_email, u.loyalty_tier, o.status, o.currency, o.subtotal::text as subtotal, o.tax::text as tax,
       o.shipping::text as shipping, o.total::text as total,
       (select count(*) from public.order_items i where i.order_id = o.id) as item_count,
       to_char(o.placed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as placed_at,
       to_char(o.updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as updated_at
  from public.orders o
  join public.users u on u.id = o.user_id
-- stored
select id, number, customer_id, customer_name, customer_email, loyalty_tier, status, currency,
       subtotal::varchar as subtotal, tax::varchar as tax, shipping::varchar as shipping, total::varchar as total, item_count,
       strftime(placed_at, '%Y-%m-%dT%H:%M:%S.%f') as placed_at, strftime(updated_at, '%Y-%m-%dT%H:%M:%S.%f') as updated_at
  from orders

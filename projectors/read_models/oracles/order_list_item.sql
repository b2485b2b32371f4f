-- expected
with line as (
    select order_id, count(*) as item_count, array_agg(name order by id) as names
      from public.order_items
     group by order_id)
select o.id, o.user_id, o.status,
       to_char(o.placed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as placed_at,
       to_tsvector('simple', o.number || ' ' || u.first_name || ' ' || u.last_name
                             || coalesce(' ' || array_to_string(line.names, ' '), ''))::text as search,
       lower(u.first_name || ' ' || u.last_name || coalesce(' ' || array_to_string(line.names, ' '), '')) as names,
       (select to_jsonb(item)
          from (select o.id::text as id, o.number, o.status,
                       case o.status when 'pending' then 'Pending' when 'paid' then 'Paid' when 'shipped' then 'Shipped'
                            when 'delivered' then 'Delivered' when 'cancelled' then 'Cancelled' end as status_label,
                       concat(u.first_name, ' ', u.last_name) as customer_name, u.email as customer_email,
                       coalesce(line.item_count, 0) as item_count,
                       coalesce(line.names[:3], '{}') as item_preview,
                       o.subtotal::text as subtotal, o.tax::text as tax, o.shipping::text as shipping,
                       o.total::text as total, o.currency, o.estimated_delivery,
                       o.status in ('pending') as can_cancel,
                       to_char(o.placed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as placed_at,
                       to_char(o.updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as updated_at,
                       o.version) item) as document
  from public.orders o
  join public.users u on u.id = o.user_id
  left join line on line.order_id = o.id
-- stored
select id, user_id, status, to_char(placed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as placed_at,
       search::text as search, names, document
  from read_models.order_list_item

-- expected
select i.product_id, p.name, count(*) as lines,
       sum(case o.status when 'cancelled' then 0 else i.quantity end)::bigint as quantity,
       to_char(sum(case o.status when 'cancelled' then 0 else i.quantity * i.unit_price end), 'FM999999999999990.00') as revenue
  from public.order_items i
  join public.orders o on o.id = i.order_id
  left join public.products p on p.id = i.product_id
 group by i.product_id, p.name
-- stored
select product_id, name, lines, quantity, revenue::varchar as revenue from product_sales

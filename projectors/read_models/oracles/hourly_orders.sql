-- expected
select to_char(placed_at at time zone 'UTC', 'YYYY-MM-DD HH24:00') as hour, count(*) as orders,
       sum(case status when 'cancelled' then 1 else 0 end) as cancelled,
       to_char(sum(case status when 'cancelled' then 0 else total end), 'FM999999999999990.00') as revenue,
       to_char(avg(case when status <> 'cancelled' then total end), 'FM999999999999990.00') as average_order_value
  from public.orders
 group by 1
-- stored
select strftime(hour, '%Y-%m-%d %H:%M') as hour, orders, cancelled, revenue::varchar as revenue,
       average_order_value::varchar as average_order_value
  from hourly_orders

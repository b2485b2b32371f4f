-- expected
select u.loyalty_tier, count(distinct u.id) as customers, count(*) as orders,
       to_char(sum(case o.status when 'cancelled' then 0 else o.total end), 'FM999999999999990.00') as revenue
  from public.users u
  join public.orders o on o.user_id = u.id
 group by u.loyalty_tier
-- stored
select loyalty_tier, customers, orders, revenue::varchar as revenue from customer_segments

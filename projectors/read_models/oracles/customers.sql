-- expected
select u.id, concat(u.first_name, ' ', u.last_name) as full_name, u.email, u.loyalty_tier, u.status, count(o.id) as orders,
       to_char(sum(case when o.id is null or o.status = 'cancelled' then 0 else o.total end), 'FM999999999999990.00') as revenue,
       to_char(u.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as created_at
  from public.users u
  left join public.orders o on o.user_id = u.id
 group by u.id
-- stored
select id, full_name, email, loyalty_tier, status, orders, revenue::varchar as revenue,
       strftime(created_at, '%Y-%m-%dT%H:%M:%S.%f') as created_at
  from customers

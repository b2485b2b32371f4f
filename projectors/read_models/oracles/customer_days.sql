-- expected
select u.id as customer_id, u.loyalty_tier,
       string_agg(distinct to_char(o.placed_at at time zone 'UTC', 'YYYY-MM-DD'), ' '
                  order by to_char(o.placed_at at time zone 'UTC', 'YYYY-MM-DD')) as days
  from public.users u
  join public.orders o on o.user_id = u.id
 group by u.id, u.loyalty_tier
-- stored
select customer_id, loyalty_tier, array_to_string(list_transform(days, lambda day: strftime(day, '%Y-%m-%d')), ' ') as days
  from customer_days

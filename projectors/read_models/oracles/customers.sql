-- expected
select id, concat(first_name, ' ', last_name) as full_name, email, loyalty_tier, status,
       to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as created_at
  from public.users
-- stored
select id, full_name, email, loyalty_tier, status, strftime(created_at, '%Y-%m-%dT%H:%M:%S.%f') as created_at
  from customers

-- expected
select id, product_id, user_id as customer_id, rating, body,
       to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as created_at
  from public.reviews
-- stored
select id, product_id, customer_id, rating, body, strftime(created_at, '%Y-%m-%dT%H:%M:%S.%f') as created_at from reviews

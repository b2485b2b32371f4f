-- expected
select p.id, p.sku, p.name, p.seller_id, s.name as seller, p.category_id, c.name as category, p.price::text as price,
       p.currency, to_char(p.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as created_at
  from public.products p, public.sellers s, public.categories c
 where s.id = p.seller_id and c.id = p.category_id
-- stored
select id, sku, name, seller_id, seller, category_id, category, price::varchar as price, currency,
       strftime(created_at, '%Y-%m-%dT%H:%M:%S.%f') as created_at
  from products

-- expected
with rated as (
    select product_id, count(*) as n, sum(rating) as stars, avg(rating) as mean from public.reviews group by product_id)
select p.id, p.category_id, p.seller_id, p.price::text as price,
       to_char(-coalesce(rated.mean, 0), 'FM0.00') as rating_falling,
       to_char(p.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as created_at,
       coalesce(rated.n, 0) as review_count, coalesce(rated.stars, 0) as rating_sum,
       (select to_jsonb(card)
          from (select p.id::text as id, p.sku, p.name, p.image_url, categories.name as category,
                       p.category_id::text as category_id, p.price::text as price, p.currency,
                       coalesce(stock.on_hand > stock.reserved, false) as in_stock,
                       coalesce(stock.on_hand - stock.reserved, 0) as available,
                       rated.mean::numeric(3, 2) as average_rating, coalesce(rated.n, 0) as review_count,
                       to_char(p.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as created_at,
                       p.version) card) as document
  from public.products p
  join public.categories on categories.id = p.category_id
  left join public.stock on stock.product_id = p.id
  left join rated on rated.product_id = p.id
-- stored
select id, category_id, seller_id, price::text as price, to_char(rating_falling, 'FM0.00') as rating_falling,
       to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as created_at, review_count, rating_sum, document
  from read_models.product_card

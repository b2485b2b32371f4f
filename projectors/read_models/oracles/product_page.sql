-- expected
with rated as (
    select product_id, count(*) as n, avg(rating) as mean,
           json_build_object('1', sum((rating = 1)::int), '2', sum((rating = 2)::int), '3', sum((rating = 3)::int),
                             '4', sum((rating = 4)::int), '5', sum((rating = 5)::int)) as histogram
      from public.reviews
     group by product_id),
ranked as (
    select r.product_id, row_number() over (partition by r.product_id order by r.created_at desc, r.id desc) as place,
           json_build_object('id', r.id::text, 'rating', r.rating, 'body', r.body,
             'author', json_build_object('id', u.id::text, 'display_name', u.display_name),
             'created_at', to_char(r.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) as review
      from public.reviews r
      join public.users u on u.id = r.user_id),
latest as (
    select product_id, json_agg(review order by place) as reviews from ranked where place <= 5 group by product_id),
sold as (
    select s.id, json_build_object('id', s.id::text, 'name', s.name, 'reputation', avg(r.rating)::numeric(3, 2),
                                   'review_count', count(r.id), 'product_count', count(distinct p.id)) as seller
      from public.sellers s
      join public.products p on p.seller_id = s.id
      left join public.reviews r on r.product_id = p.id
     group by s.id),
beside as (
    select b.product_id,
           json_agg(json_build_object('id', o.id::text, 'name', o.name, 'price', o.price::text,
                                      'average_rating', rated.mean::numeric(3, 2)) order by o.id) as related
      from public.related_products b
      join public.products o on o.id = b.related_id
      left join rated on rated.product_id = o.id
     group by b.product_id),
priced as (
    select product_id, new_price, changed_at,
           row_number() over (partition by product_id order by changed_at desc, id desc) as place
      from public.price_changes),
history as (
    select product_id,
           json_agg(json_build_object('at', to_char(changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                                      'price', new_price::text) order by place) as prices
      from priced
     where place <= 30
     group by product_id)
select p.id, p.version, p.seller_id,
       (select to_jsonb(page)
          from (select p.id::text as id, p.sku, p.name, p.description, p.image_url, categories.name as category,
                       p.category_id::text as category_id, p.price::text as price, p.currency,
                       coalesce(stock.on_hand > stock.reserved, false) as in_stock,
                       coalesce(stock.on_hand - stock.reserved, 0) as available,
                       rated.mean::numeric(3, 2) as average_rating, coalesce(rated.n, 0) as review_count,
                       coalesce(rated.histogram, '{"1": 0, "2": 0, "3": 0, "4": 0, "5": 0}') as rating_histogram,
                       coalesce(latest.reviews, '[]') as latest_reviews, sold.seller,
                       coalesce(beside.related, '[]') as related, coalesce(history.prices, '[]') as price_history,
                       p.version) page) as document
  from public.products p
  join public.categories on categories.id = p.category_id
  join sold on sold.id = p.seller_id
  left join public.stock on stock.product_id = p.id
  left join rated on rated.product_id = p.id
  left join latest on latest.product_id = p.id
  left join beside on beside.product_id = p.id
  left join history on history.product_id = p.id
-- stored
select id, version, seller_id, document || jsonb_build_object('seller', seller) as document from read_models.product_page

-- Half a year of a shop that sells coffee, as the changes its database would have committed: one row per change, in order.
--
-- Run in a DuckDB of its own. Chance is taken from MD5 of what it decides and of whom, so every run, machine and version
-- has the same shop. Times are UTC; rows are the images that Debezium writes (numeric as text, date as days since 1970).

create macro chance(what, who) as ('0x' || md5(what || who)[:8])::bigint / 4294967296;
create macro one_of(list, what, who) as list[1 + floor(chance(what, who) * len(list))::bigint];
create macro zoned(moment) as strftime(moment::timestamp, '%Y-%m-%dT%H:%M:%S.%fZ');

create table period as select timestamp '2025-10-01' as opened, timestamp '2026-03-31 18:00' as told_at;

create table product as
select id, category, seller, name, price, demand, liked
  from (values
    ( 1, 'Coffee',   'North Roasters', 'House Espresso 250 g',    9.90, 14, 4.3),
    ( 2, 'Coffee',   'North Roasters', 'Ethiopia Guji 250 g',    12.50, 10, 4.7),
    ( 3, 'Coffee',   'North Roasters', 'Colombia Huila 250 g',   11.90,  8, 4.5),
    ( 4, 'Coffee',   'North Roasters', 'Decaf Brazil 250 g',     10.90,  3, 3.9),
    ( 5, 'Grinders', 'Mill & Sons',    'Hand Grinder',           59.00,  6, 4.4),
    ( 6, 'Grinders', 'Mill & Sons',    'Electric Grinder',      149.00,  2, 4.1),
    ( 7, 'Brewing',  'Kettle Works',   'Pour-over Dripper',      24.00,  7, 4.6),
    ( 8, 'Brewing',  'Kettle Works',   'Paper Filters, 100',      6.50,  4, 4.2),
    ( 9, 'Brewing',  'Kettle Works',   'French Press',           34.00,  5, 4.2),
    (10, 'Brewing',  'Kettle Works',   'Moka Pot',               29.00,  6, 4.4),
    (11, 'Brewing',  'Kettle Works',   'Gooseneck Kettle',       69.00,  3, 4.5),
    (12, 'Brewing',  'Mill & Sons',    'Kitchen Scale 0.1 g',    39.00,  3, 4.0),
    (13, 'Cups',     'Mill & Sons',    'Milk Frother',           19.90,  9, 2.4),
    (14, 'Cups',     'Clay Studio',    'Espresso Cups, 2',       18.00,  4, 4.6),
    (15, 'Cups',     'Clay Studio',    'Travel Mug',             27.00,  8, 2.9),
    (16, 'Brewing',  'Kettle Works',   'Descaling Powder',        8.50,  2, 4.1),
    (17, 'Brewing',  'Kettle Works',   'Cold Brew Bottle',       32.00,  2, 4.3)
  ) p(id, category, seller, name, price, demand, liked);

-- More of them every month, and some who come for presents before Christmas.
create table customer as
select id, loyalty_tier,
       case when chance('present', id) < 0.15 then 52 + floor(27 * chance('day', id))::bigint
            when chance('early', id) < 0.5 then floor(182 * chance('day', id))::bigint
            else floor(182 * sqrt(chance('day', id)))::bigint end as first_day,
       map {'bronze': 0.32, 'silver': 0.52, 'gold': 0.70, 'platinum': 0.82}[loyalty_tier] as returns,
       map {'bronze': 0.09, 'silver': 0.06, 'gold': 0.03, 'platinum': 0.02}[loyalty_tier] as cancels,
       one_of(['Ada', 'Grace', 'Alan', 'Edith', 'Karen', 'Tim', 'Radia', 'Barbara', 'Dennis', 'Annie'], 'first', id)
         as first_name,
       one_of(['Byron', 'Hopper', 'Clarke', 'Jones', 'Lee', 'Perlman', 'Liskov', 'Easley', 'Wilkes', 'Moore'], 'last', id)
         as last_name
  from (select id,
               case when chance('tier', id) < 0.55 then 'bronze' when chance('tier', id) < 0.83 then 'silver'
                    when chance('tier', id) < 0.96 then 'gold' else 'platinum' end as loyalty_tier
          from range(1, 1601) r(id));

-- A customer comes again as long as chance lets them, after one to nine weeks.
create table visit as
with every as (
    select c.id as user_id, c.loyalty_tier, c.cancels, visit, c.id || '.' || visit as who,
           c.first_day + coalesce(sum(7 + floor(56 * chance('gap', c.id || '.' || visit))) filter (visit > 0) over again, 0)
             as day,
           bool_and(visit = 0 or chance('again', c.id || '.' || visit) < c.returns) over again as comes
      from customer c
     cross join range(0, 14) v(visit)
    window again as (partition by c.id order by visit))
select user_id, loyalty_tier, cancels, visit, who,
       opened + to_days(day::integer)
         + to_hours(one_of([5, 6, 6, 7, 7, 8, 9, 10, 11, 11, 12, 12, 12, 13, 14, 15, 16, 17, 17, 18, 18, 18, 19, 19, 19, 19, 20,
                            20, 20, 21, 21, 22, 22], 'hour', who))
         + to_seconds(floor(3_600 * chance('second', who))) as placed_at
  from every
 cross join period
 where comes and placed_at < told_at - interval 5 minutes;

create table placed as
select row_number() over (order by placed_at, user_id) as id, * from visit;

-- One product by demand, what goes with it, and sometimes a third that has nothing to do with it.
create table line as
with demanded as (select list(id order by id, copy) as ids from product, range(demand) r(copy)),
chosen as (
    select p.id as order_id, p.who, unnest([
             one_of(ids, 'first', who),
             case when chance('pair', who) < 0.55 then
               map {1: 10, 2: 5, 5: 2, 7: 8, 8: 7, 10: 1, 13: 14, 14: 13}[one_of(ids, 'first', who)]
             end,
             case when chance('third', who) < 0.40 then one_of(ids, 'other', who) end]) as product_id
      from placed p
     cross join demanded)
select row_number() over (order by order_id, product_id) as id, order_id, product_id,
       case when category = 'Coffee' then 1 + floor(3 * chance('many', order_id || '/' || product_id))::bigint
            else 1 end as quantity, price
  from (select distinct order_id, product_id from chosen where product_id is not null)
  join product on product.id = product_id;

create table priced as
select p.*, subtotal, round(subtotal * 0.08, 2)::decimal(12, 2) as tax,
       case when subtotal >= 50 then 0 else 4.90 end::decimal(12, 2) as shipping
  from placed p
  join (select order_id, sum(quantity * price)::decimal(12, 2) as subtotal from line group by order_id) l on l.order_id = p.id;

-- The way of each order: paid within minutes, or by bank transfer after a day or three; shipped within a day or two, later
-- when December has piled up; delivered.
create table step as
with moments as (
    select *, placed_at + to_seconds(40 + floor(2_400 * chance('pays', who)))
             + to_hours(case when chance('transfer', who) < 0.08 then 20 + floor(50 * chance('bank', who))::bigint else 0 end)
             as paid_at,
           placed_at + to_minutes((60 + floor(9 * 1440 * chance('regrets', who)))::bigint) as cancelled_at,
           chance('cancels', who) < cancels as is_cancelled,
           to_minutes((180 + floor(1_500 * chance('packs', who))
             + case when month(placed_at) = 12 and day(placed_at) < 24 then 1_100 else 0 end)::bigint) as packing,
           to_minutes((1_200 + floor(4_000 * chance('travels', who)))::bigint) as travel
      from priced)
select id as order_id, 1 as version, 'pending' as status, placed_at as moment from moments
union all
select id, 2, 'paid', paid_at from moments where not is_cancelled or paid_at < cancelled_at
union all
select id, 3, 'shipped', paid_at + packing from moments where not is_cancelled
union all
select id, 4, 'delivered', paid_at + packing + travel from moments where not is_cancelled
union all
select id, case when paid_at < cancelled_at then 3 else 2 end, 'cancelled', cancelled_at from moments where is_cancelled;

create table review as
select l.id, l.product_id, p.user_id, s.moment + to_minutes((60 + floor(20_000 * chance('thinks', l.id)))::bigint) as moment,
       least(5, greatest(1, round(liked - 1.4 + 2.8 * chance('stars', l.id))))::bigint as rating
  from line l
  join placed p on p.id = l.order_id
  join step s on s.order_id = l.order_id and s.status = 'delivered'
  join product on product.id = l.product_id
 where chance('reviews', l.id) < 0.35
qualify row_number() over (partition by l.product_id, p.user_id order by l.id) = 1;

-- Every change: when it was committed, in which transaction, in which place of it, and the row's image.
create table change as
select opened as moment, 0 as rank, 0 as transaction, 'sellers' as "table", 'c' as op, dense_rank() over (order by seller) as id,
       {'id': dense_rank() over (order by seller), 'name': seller, 'created_at': zoned(opened)}::json as row
  from (select distinct seller from product), period
union all by name
select opened as moment, 0 as rank, 0 as transaction, 'categories' as "table", 'c' as op,
       dense_rank() over (order by category) as id, {'id': dense_rank() over (order by category), 'name': category}::json as row
  from (select distinct category from product), period
union all by name
select opened as moment, 1 as rank, 0 as transaction, 'products' as "table", 'c' as op, id,
       {'id': id, 'seller_id': dense_rank() over (order by seller), 'category_id': dense_rank() over (order by category),
        'sku': 'C-' || id, 'name': name, 'description': '', 'image_url': null, 'price': price::decimal(12, 2)::varchar,
        'currency': 'USD', 'version': 1, 'created_at': zoned(opened)}::json as row
  from product, period
union all by name
select placed_at - interval 4 minutes as moment, 2 as rank, c.id as transaction, 'users' as "table", 'c' as op, c.id,
       {'id': c.id, 'email': lower(first_name) || c.id || '@example.com', 'first_name': first_name, 'last_name': last_name,
        'display_name': first_name, 'phone': null, 'avatar_url': null, 'loyalty_tier': c.loyalty_tier, 'status': 'active',
        'version': 1, 'created_at': zoned(placed_at - interval 4 minutes),
        'updated_at': zoned(placed_at - interval 4 minutes)}::json as row
  from customer c
  join placed on user_id = c.id and visit = 0
union all by name
select s.moment, 3 as rank, s.order_id as transaction, 'orders' as "table", case when version = 1 then 'c' else 'u' end as op,
       s.order_id as id,
       {'id': s.order_id, 'number': 'C-' || lpad(s.order_id::varchar, 6, '0'), 'user_id': user_id, 'status': status,
        'currency': 'USD', 'subtotal': subtotal::varchar, 'tax': tax::varchar, 'shipping': shipping::varchar,
        'total': (subtotal + tax + shipping)::varchar, 'shipping_method': 'standard',
        'carrier': case when status in ('shipped', 'delivered') then 'post' end,
        'tracking_number': case when status in ('shipped', 'delivered') then 'T-' || s.order_id end,
        'shipping_address': '{}', 'estimated_delivery': date_diff('day', date '1970-01-01', placed_at::date) + 5,
        'cancel_reason': case when status = 'cancelled' then 'changed my mind' end,
        'cancelled_by': case when status = 'cancelled' then 'customer' end,
        'version': version, 'placed_at': zoned(placed_at), 'updated_at': zoned(s.moment)}::json as row
  from step s
  join priced p on p.id = s.order_id
union all by name
select placed_at as moment, 3 as rank, order_id as transaction, 'order_items' as "table", 'c' as op, line.id,
       {'id': line.id, 'order_id': order_id, 'product_id': product_id, 'sku': 'C-' || product_id, 'name': product.name,
        'image_url': null, 'unit_price': product.price::decimal(12, 2)::varchar, 'quantity': quantity, 'discounts': '[]'}::json
         as row
  from line
  join placed on placed.id = order_id
  join product on product.id = product_id
union all by name
select moment, 4 as rank, id as transaction, 'reviews' as "table", 'c' as op, id,
       {'id': id, 'product_id': product_id, 'user_id': user_id, 'rating': rating, 'body': 'As I found it to be.',
        'created_at': zoned(moment)}::json as row
  from review;

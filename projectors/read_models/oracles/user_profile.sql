-- expected
with written as (select author_id, count(*) as posts from public.posts where status = 'published' group by author_id),
followers as (select followee_id as id, count(*) as n from public.follows group by followee_id),
following as (select follower_id as id, count(*) as n from public.follows group by follower_id),
bought as (
    select user_id, count(*) as orders, sum(total) as value
      from public.orders
     where status <> 'cancelled'
     group by user_id)
select u.id, u.version,
       (select to_jsonb(profile)
          from (select u.id::text as id, u.email, u.first_name, u.last_name,
                       concat(u.first_name, ' ', u.last_name) as full_name, u.display_name, u.avatar_url,
                       coalesce(written.posts, 0) as post_count, coalesce(followers.n, 0) as follower_count,
                       coalesce(following.n, 0) as following_count, coalesce(bought.orders, 0) as order_count,
                       to_char(coalesce(bought.value, 0), 'FM999999999999990.00') as lifetime_value,
                       u.loyalty_tier,
                       to_char(u.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as created_at,
                       u.version) profile) as document,
       (select to_jsonb(profile)
          from (select u.id::text as id, u.first_name, u.last_name, concat(u.first_name, ' ', u.last_name) as full_name,
                       u.display_name, u.avatar_url, coalesce(written.posts, 0) as post_count,
                       coalesce(followers.n, 0) as follower_count, coalesce(following.n, 0) as following_count,
                       u.loyalty_tier,
                       to_char(u.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as created_at,
                       u.version) profile) as public
  from public.users u
  left join written on written.author_id = u.id
  left join followers on followers.id = u.id
  left join following on following.id = u.id
  left join bought on bought.user_id = u.id
-- stored
select id, version, document, public
  from read_models.user_profile

"""One row per user: the profile, with what the user has done counted."""

from projectors.read_model import ReadModel
from projectors.rollup import Rollup

USER_POSTS = Rollup(
    name="user_posts",
    comment="One row per user with published posts.",
    of="posts",
    key=("author_id",),
    query="""
        select author_id, count(*) as post_count
          from changed
         where status = 'published'
         group by author_id
    """,
)

USER_FOLLOWS = Rollup(
    name="user_follows",
    comment="One row per user who follows or is followed.",
    of="follows",
    key=("user_id",),
    query="""
        select user_id, sum(follower) as follower_count, sum(following) as following_count
          from (select followee_id as user_id, 1 as follower, 0 as following from changed
                union all
                select follower_id, 0, 1 from changed) sides
         group by user_id
    """,
)

USER_ORDERS = Rollup(
    name="user_orders",
    comment="One row per user with orders that are not cancelled.",
    of="orders",
    key=("user_id",),
    query="""
        select user_id, count(*) as order_count, sum(total) as lifetime_value
          from changed
         where status <> 'cancelled'
         group by user_id
    """,
)

USER_PROFILE = ReadModel(
    name="user_profile",
    comment="One row per user.",
    key=("id",),
    columns="""
        id       bigint primary key,
        version  bigint not null,
        document jsonb not null,
        public   jsonb not null
    """,
    affected_by={
        "users": "select id from changed",
        "rollups.user_posts": "select author_id from changed",
        "rollups.user_follows": "select user_id from changed",
        "rollups.user_orders": "select user_id from changed",
    },
    # What only the user may see of it is left out of ``public``.
    query="""
        select d.id, d.version, d.document, d.document - array['email', 'order_count', 'lifetime_value'] as public
          from affected a
          join lateral (
            select u.id, u.version,
                   jsonb_build_object(
                     'id', u.id::text,
                     'email', u.email,
                     'first_name', u.first_name,
                     'last_name', u.last_name,
                     'full_name', u.first_name || ' ' || u.last_name,
                     'display_name', u.display_name,
                     'avatar_url', u.avatar_url,
                     'post_count', coalesce(p.post_count, 0),
                     'follower_count', coalesce(f.follower_count, 0),
                     'following_count', coalesce(f.following_count, 0),
                     'order_count', coalesce(o.order_count, 0),
                     'lifetime_value', coalesce(o.lifetime_value, 0)::numeric(20, 2)::text,
                     'loyalty_tier', u.loyalty_tier,
                     'created_at', readside.rfc3339(u.created_at),
                     'version', u.version) as document
              from mirror.users u
              left join rollups.user_posts p on p.author_id = u.id
              left join rollups.user_follows f on f.user_id = u.id
              left join rollups.user_orders o on o.user_id = u.id
             where u.id = a.id
            offset 0) d on true
    """,
)

"""One row per user: the profile, with what the user has done counted."""

from projectors.read_model import ReadModel

USER_PROFILE = ReadModel(
    name="user_profile",
    comment="One row per user.",
    key=("id",),
    columns="""
        id       bigint primary key,
        version  bigint not null,
        document jsonb not null
    """,
    affected_by={
        "users": "select id from changed",
        "posts": "select author_id from changed",
        "follows": "select follower_id from changed union select followee_id from changed",
        "orders": "select user_id from changed",
    },
    query="""
        select u.id, u.version,
               jsonb_build_object(
                 'id', u.id::text,
                 'email', u.email,
                 'first_name', u.first_name,
                 'last_name', u.last_name,
                 'full_name', u.first_name || ' ' || u.last_name,
                 'display_name', u.display_name,
                 'avatar_url', u.avatar_url,
                 'post_count', (
                   select count(*)
                     from mirror.posts p
                    where p.author_id = u.id and p.status = 'published'),
                 'follower_count', (select count(*) from mirror.follows f where f.followee_id = u.id),
                 'following_count', (select count(*) from mirror.follows f where f.follower_id = u.id),
                 'order_count', o.order_count,
                 'lifetime_value', o.lifetime_value::text,
                 'loyalty_tier', u.loyalty_tier,
                 'created_at', readside.rfc3339(u.created_at),
                 'version', u.version) as document
          from affected a
          join mirror.users u on u.id = a.id
         cross join lateral (
            select count(*) as order_count, coalesce(sum(o.total), 0.00) as lifetime_value
              from mirror.orders o
             where o.user_id = u.id and o.status <> 'cancelled') o
    """,
)

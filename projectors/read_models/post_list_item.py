"""One row per published post: what lists of posts and feeds show."""

from projectors.read_model import ReadModel
from projectors.rollup import Rollup

POST_COMMENTS = Rollup(
    name="post_comments",
    comment="One row per post with comments.",
    of="comments",
    key=("post_id",),
    query="select post_id, count(*) as comment_count from changed group by post_id",
)

POST_LIST_ITEM = ReadModel(
    name="post_list_item",
    comment="One row per published post, as lists show it.",
    key=("id",),
    columns="""
        id           bigint primary key,
        author_id    bigint not null,
        published_at timestamptz not null,
        document     jsonb not null
    """,
    indexes=(
        "(published_at desc, id desc)",
        "(author_id, published_at desc, id desc)",
    ),
    affected_by={
        "posts": "select id from changed",
        "users": "select p.id from changed c join mirror.posts p on p.author_id = c.id",
        "rollups.post_comments": "select post_id from changed",
    },
    query="""
        select p.id, p.author_id, p.published_at,
               jsonb_build_object(
                 'id', p.id::text,
                 'title', p.title,
                 'excerpt', left(p.body, 200),
                 'author', jsonb_build_object(
                   'id', u.id::text,
                   'display_name', u.display_name,
                   'avatar_url', u.avatar_url),
                 'comment_count', coalesce(c.comment_count, 0),
                 'published_at', readside.rfc3339(p.published_at)) as document
          from affected a
          join mirror.posts p on p.id = a.id
          join mirror.users u on u.id = p.author_id
          left join rollups.post_comments c on c.post_id = p.id
         where p.status = 'published'
    """,
)

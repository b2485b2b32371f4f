"""One row per published post: its page, with the first comments under it."""

from projectors.read_model import ReadModel

POST_WITH_COMMENTS = ReadModel(
    name="post_with_comments",
    comment="One row per published post: its page with the oldest twenty comments.",
    key=("id",),
    columns="""
        id       bigint primary key,
        version  bigint not null,
        document jsonb not null
    """,
    affected_by={
        "posts": "select id from changed",
        "users": "select p.id from changed c join mirror.posts p on p.author_id = c.id",
        "rollups.post_comments": "select post_id from changed",
        "read_models.comment_list_item": "select post_id from changed",
    },
    query="""
        select p.id, p.version,
               jsonb_build_object(
                 'id', p.id::text,
                 'title', p.title,
                 'body', p.body,
                 'author', jsonb_build_object(
                   'id', u.id::text,
                   'display_name', u.display_name,
                   'avatar_url', u.avatar_url),
                 'comments', coalesce(f.comments, '[]'),
                 'comment_count', coalesce(c.comment_count, 0),
                 'published_at', readside.rfc3339(p.published_at),
                 'version', p.version) as document
          from affected a
          join mirror.posts p on p.id = a.id
          join mirror.users u on u.id = p.author_id
          left join rollups.post_comments c on c.post_id = p.id
          left join lateral (
            select jsonb_agg(i.document order by i.created_at, i.id) as comments
              from (select id, created_at, document
                      from read_models.comment_list_item
                     where post_id = p.id
                     order by created_at, id
                     limit 20) i) f on true
         where p.status = 'published'
    """,
)

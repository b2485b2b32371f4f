"""One row per comment: what a post's page and the list of its comments show."""

from projectors.read_model import ReadModel

COMMENT_LIST_ITEM = ReadModel(
    name="comment_list_item",
    comment="One row per comment, with who wrote it.",
    key=("id",),
    columns="""
        id         bigint primary key,
        post_id    bigint not null,
        created_at timestamptz not null,
        document   jsonb not null
    """,
    indexes=("(post_id, created_at, id)",),
    affected_by={
        "comments": "select id from changed",
        "users": "select m.id from changed c join mirror.comments m on m.author_id = c.id",
    },
    query="""
        select m.id, m.post_id, m.created_at,
               jsonb_build_object(
                 'id', m.id::text,
                 'author', jsonb_build_object(
                   'id', u.id::text,
                   'display_name', u.display_name,
                   'avatar_url', u.avatar_url),
                 'body', m.body,
                 'created_at', readside.rfc3339(m.created_at)) as document
          from affected a
          join mirror.comments m on m.id = a.id
          join mirror.users u on u.id = m.author_id
    """,
)

-- expected
with numbered as (
    select c.post_id, row_number() over (partition by c.post_id order by c.created_at, c.id) as place,
           json_build_object('id', c.id::text, 'body', c.body,
             'author', json_build_object('id', u.id::text, 'display_name', u.display_name, 'avatar_url', u.avatar_url),
             'created_at', to_char(c.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) as comment
      from public.comments c
      join public.users u on u.id = c.author_id)
select p.id, p.version,
       (select to_jsonb(page)
          from (select p.id::text as id, p.title, p.body,
                       json_build_object('id', u.id::text, 'display_name', u.display_name, 'avatar_url', u.avatar_url)
                         as author,
                       coalesce((select json_agg(n.comment order by n.place)
                                   from numbered n
                                  where n.post_id = p.id and n.place <= 20), '[]') as comments,
                       (select count(*) from public.comments c where c.post_id = p.id) as comment_count,
                       to_char(p.published_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as published_at,
                       p.version) page) as document
  from public.posts p
  join public.users u on u.id = p.author_id
 where p.status <> 'draft'
-- stored
select id, version, document from read_models.post_with_comments

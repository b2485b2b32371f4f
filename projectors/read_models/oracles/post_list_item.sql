-- expected
select p.id, p.author_id, to_char(p.published_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as published_at,
       (select to_jsonb(item)
          from (select p.id::text as id, p.title, substring(p.body for 200) as excerpt,
                       (select json_build_object('id', u.id::text, 'display_name', u.display_name,
                                                 'avatar_url', u.avatar_url)
                          from public.users u
                         where u.id = p.author_id) as author,
                       (select count(*) from public.comments c where c.post_id = p.id) as comment_count,
                       to_char(p.published_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as published_at) item)
         as document
  from public.posts p
 where p.status <> 'draft'
-- stored
select id, author_id, to_char(published_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as published_at, document
  from read_models.post_list_item

-- expected
select c.id, c.post_id, to_char(c.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as created_at,
       jsonb_build_object('id', c.id::text, 'body', c.body,
         'author', json_build_object('id', u.id::text, 'display_name', u.display_name, 'avatar_url', u.avatar_url),
         'created_at', to_char(c.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) as document
  from public.comments c, public.users u
 where u.id = c.author_id
-- stored
select id, post_id, to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as created_at, document
  from read_models.comment_list_item

-- expected
select follower_id, followee_id from public.follows
-- stored
select follower_id, followee_id from read_models.following

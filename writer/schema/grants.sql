-- Run after every migration. The writer's role changes rows and nothing else: it owns nothing and creates nothing.
-- The sequences are for order numbers, which are made from the order's id.
grant usage on schema public to shop_writer;
grant select, insert, update, delete on all tables in schema public to shop_writer;
grant usage on all sequences in schema public to shop_writer;
revoke insert, update, delete on schema_migrations from shop_writer;

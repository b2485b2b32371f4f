-- An Idempotency-Key belongs to its caller: role and sub of their token, empty on a server that runs open.
alter table idempotency_keys add column caller text not null default '';
alter table idempotency_keys drop constraint idempotency_keys_key_route_key;
alter table idempotency_keys add unique (key, caller, route);

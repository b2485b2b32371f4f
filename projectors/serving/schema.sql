-- What readside itself keeps in the serving store. The mirror, the histories, the rollups and the read models are made
-- from the source's catalogue and the declarations.
create schema if not exists readside;
create schema if not exists mirror;
create schema if not exists history;
create schema if not exists rollups;
create schema if not exists read_models;

create table if not exists readside.checkpoint (
    store        text primary key,
    epoch        bigint not null,
    phase        text not null check (phase in ('snapshot', 'streaming')),
    end_lsn      pg_lsn not null,
    committed_at timestamptz,
    applied_at   timestamptz not null,
    changes      bigint not null,
    rate         double precision not null,
    state        jsonb not null
) with (fillfactor = 10);  -- one row, updated with every batch: keep the updates on its page
comment on table readside.checkpoint is 'Where the store stands; moves in the same transaction as the rows.';
comment on column readside.checkpoint.epoch is 'Counted up by each projector that takes the store over; an older one cannot commit.';
comment on column readside.checkpoint.end_lsn is 'End of the last applied source transaction''s commit record.';
comment on column readside.checkpoint.committed_at is 'Commit time of that transaction at the source; null before the first.';
comment on column readside.checkpoint.rate is 'Changes applied per second, lately.';
comment on column readside.checkpoint.state is 'The assembler''s state: where to read on, and what was read in part.';

create table if not exists readside.recent_transactions (
    xid        bigint primary key,
    end_lsn    pg_lsn not null,
    applied_at timestamptz not null default now()
);
comment on table readside.recent_transactions is 'The latest applied source transactions by their 32-bit xid, for tokens; pruned.';
create index if not exists recent_transactions_applied_at on readside.recent_transactions (applied_at);

create table if not exists readside.declared (
    name        text primary key,
    kind        text not null check (kind in ('read_model', 'history', 'rollup')),
    version     bigint not null,
    fingerprint text not null,
    built_at    timestamptz not null default now()
);
-- A store made before there were rollups.
alter table readside.declared drop constraint if exists declared_kind_check;
alter table readside.declared add constraint declared_kind_check check (kind in ('read_model', 'history', 'rollup'));
comment on table readside.declared is 'Which declaration each read model, rollup and history was built from.';

create or replace function readside.require_epoch(store_name text, expected bigint) returns void
language plpgsql as $$
begin
    perform 1 from readside.checkpoint where store = store_name and epoch = expected for update;
    if not found then
        raise exception 'store % belongs to another projector now', store_name using errcode = 'RS001';
    end if;
end $$;
comment on function readside.require_epoch is 'The writer fence: locks the checkpoint, or refuses a projector that was replaced.';

create or replace function readside.rfc3339(moment timestamptz) returns text
language sql stable parallel safe
return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
comment on function readside.rfc3339 is 'A time as HTTP answers write it: RFC 3339, UTC, microseconds.';

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
alter table readside.declared add column if not exists parked text;
comment on column readside.declared.parked is 'Why it is left as it stood; null when it is kept up.';
-- A store made before there were rollups.
alter table readside.declared drop constraint if exists declared_kind_check;
alter table readside.declared add constraint declared_kind_check check (kind in ('read_model', 'history', 'rollup'));
comment on table readside.declared is 'Which declaration each read model, rollup and history was built from.';
alter table readside.declared add column if not exists declaration jsonb;
comment on column readside.declared.declaration is 'That declaration: what an old version is kept up by when the code declares another.';

create table if not exists readside.rebuilds (
    id           bigint generated always as identity primary key,
    names        text[] not null,
    asked        boolean not null,
    state        text not null check (state in ('asked', 'building', 'built', 'swapped', 'cancelled', 'failed', 'rolled back')),
    swaps        boolean not null,
    wish         text check (wish in ('swap', 'cancel', 'roll back', 'forget')),
    fingerprints jsonb not null default '{}',
    why          text,
    begun_at     timestamptz not null default now(),
    built_at     timestamptz,
    ended_at     timestamptz
);
comment on table readside.rebuilds is 'Next versions of declared tables, built beside those that serve: each rebuild, and what became of it.';
comment on column readside.rebuilds.names is 'What is built anew, each after what it reads; what was asked for, until the projector has taken it up.';
comment on column readside.rebuilds.asked is 'By an operator; else because declarations changed.';
comment on column readside.rebuilds.swaps is 'Takes the place of the old version as soon as it is built; else when that is wished.';
comment on column readside.rebuilds.wish is 'What an operator wants done with it, until the projector has taken it up.';
create unique index if not exists rebuilds_one_at_a_time on readside.rebuilds ((true)) where state in ('asked', 'building', 'built');

create table if not exists readside.candidates (
    name       text primary key,
    rebuild    bigint not null references readside.rebuilds,
    state      text not null check (state in ('keys', 'rows', 'indexes', 'built')),
    total      bigint,
    done       bigint not null default 0,
    begun_at   timestamptz not null default clock_timestamp(),
    rows_at    timestamptz
);
comment on table readside.candidates is 'How far the next version of each declared table is built: its keys are listed, then rows computed some at a time.';
comment on column readside.candidates.total is 'Keys; null until they are listed.';
comment on column readside.candidates.rows_at is 'When computing its rows began.';

create table if not exists readside.mirrored (
    "table" text primary key,
    shape   jsonb not null,
    former  jsonb not null,
    parked  text
);
comment on table readside.mirrored is 'The shape of each source table as the mirror has it, by schema.table.';
comment on column readside.mirrored.former is 'Present column by former name: rows from before a rename may still come.';
comment on column readside.mirrored.parked is 'Why it is left as it stood; null when it is kept up.';

alter table readside.declared add column if not exists dead_letters bigint not null default 0;
comment on column readside.declared.dead_letters is 'Parked changes of the tables that it reads: rows of it may be behind.';

create table if not exists readside.dead_letters (
    topic        text not null,
    partition    integer not null,
    "offset"     bigint not null,
    "table"      text not null,
    key          text not null,
    old_key      text,
    xid          bigint,
    end_lsn      pg_lsn not null,
    "order"      bigint not null,
    committed_us bigint not null,
    reason       text not null,
    payload      bytea not null,
    parked_at    timestamptz not null default now(),
    asked        text check (asked in ('retry', 'drop')),
    primary key (topic, partition, "offset")
);
comment on table readside.dead_letters is 'Changes that are parked: that cannot be applied, and what follows for their rows.';
comment on column readside.dead_letters.key is 'The row''s key, JSON; like payload, a value: shown to nobody.';
comment on column readside.dead_letters."order" is 'Place in its source transaction.';
comment on column readside.dead_letters.asked is 'What an operator wants done with it, until the projector has taken it up.';

create or replace function readside.ask_for_retry(its_topic text, its_partition integer, its_offset bigint) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update readside.dead_letters d
       set asked = 'retry'
     where d.topic = its_topic and d.partition = its_partition and d."offset" = its_offset;
    return found;
end $$;
comment on function readside.ask_for_retry is 'Has the projector try a dead letter again; false when it is not there. For the query server, which writes no table.';
revoke execute on function readside.ask_for_retry from public;

create table if not exists readside.watched (
    model text primary key,
    until timestamptz not null,
    since timestamptz
);
comment on table readside.watched is 'Read models of which the keys of changed rows are named at each commit, on the channel readside_changed.';
comment on column readside.watched.since is 'When the projector took it up; null until then.';

create or replace function readside.watch(its_model text) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
    taken_up boolean;
begin
    delete from readside.watched where until < now();
    insert into readside.watched as w (model, until)
    select d.name, now() + interval '30 seconds' from readside.declared d where d.name = its_model and d.kind = 'read_model'
    on conflict (model) do update set until = excluded.until
    returning since is not null into taken_up;
    return taken_up;
end $$;
comment on function readside.watch is 'Has the keys of a read model''s changed rows named for 30 s more; whether they are by now. Null for what is no read model.';
revoke execute on function readside.watch from public;

create table if not exists readside.records (
    topic     text not null,
    partition integer not null,
    read      bigint not null,
    applied   bigint not null,
    parked    bigint not null,
    ignored   jsonb not null,
    primary key (topic, partition)
) with (fillfactor = 50);  -- updated about once a second
comment on table readside.records is 'What became of the records read since the store was begun: read = applied + parked + all of ignored.';
comment on column readside.records.ignored is 'Count by reason.';

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

-- How values come that PostgreSQL does not read as Debezium writes them (cdc/encoding.py).
create or replace function readside.timestamp_of(us bigint) returns timestamp
language sql immutable parallel safe
return case
    when us = 9223372036854775807 then 'infinity'
    when us = -9223372036854775808 then '-infinity'
    else timestamp '1970-01-01' + (us / 86400000000 * interval '1 day') + (us % 86400000000 * interval '1 microsecond')
end;
comment on function readside.timestamp_of is 'Microseconds since 1970 as a timestamp.';

create or replace function readside.timestamptz_of(iso text) returns timestamptz
language sql stable parallel safe
return case
    when left(iso, 1) = '+' then substr(iso, 2)::timestamptz
    when iso ~ '^-?\d{4}-' and (left(iso, 1) = '-' or left(iso, 4) = '0000')
    then (lpad((1 - substring(iso from '^-?\d{4}')::int)::text, 4, '0') || substring(iso from '^-?\d{4}(.*)') || ' BC')::timestamptz
    else iso::timestamptz
end;
comment on function readside.timestamptz_of is 'A time as ISO 8601 writes it, whose year 0 is 1 BC, and whose years have more than four digits after a plus.';

create or replace function readside.bits_of(little_endian text, length int) returns text
language sql immutable parallel safe
return (
    select right(repeat('0', length) || coalesce(string_agg(get_byte(b.bytes, n)::bit(8)::text, '' order by n desc), ''), length)
      from (select decode(little_endian, 'base64') as bytes) b, generate_series(0, octet_length(b.bytes) - 1) n
     having little_endian is not null);
comment on function readside.bits_of is 'A bit string of a length from base64, least significant byte first, without leading zeros.';

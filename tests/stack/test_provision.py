"""Provisioning: each role may do its work and nothing else, and doing it twice changes nothing."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from stack.errors import StackError
from stack.provision import Login, provision_source
from tests.databases import SHOP, STORE, Postgres

FORBIDDEN = {
    "the writer makes no table": (SHOP, "shop_writer", "create table mine (id int)"),
    "the writer drops no table": (SHOP, "shop_writer", "drop table orders"),
    "the writer truncates no table": (SHOP, "shop_writer", "truncate orders cascade"),
    "the writer makes no schema": (SHOP, "shop_writer", "create schema mine"),
    "the capturing role writes nothing": (SHOP, "readside_cdc", "insert into categories (name) values ('x')"),
    "the capturing role deletes nothing": (SHOP, "readside_cdc", "delete from orders"),
    "the capturing role sees no idempotency keys": (SHOP, "readside_cdc", "select from idempotency_keys"),
    "the capturing role sees no migrations": (SHOP, "readside_cdc", "select from schema_migrations"),
    "the capturing role makes no table": (SHOP, "readside_cdc", "create table mine (id int)"),
    "the capturing role makes no publication": (SHOP, "readside_cdc", "create publication mine"),
    "the query role makes no table": (STORE, "readside_queries", "create table public.mine (id int)"),
    "the query role makes no schema": (STORE, "readside_queries", "create schema mine"),
    "the projector makes no role": (STORE, "readside_projector", "create role mine"),
    "the projector makes no database": (STORE, "readside_projector", "create database mine"),
    "the projector reads no file": (STORE, "readside_projector", "select pg_read_file('PG_VERSION')"),
}

STRANGERS = [
    (STORE, "shop_writer"),
    (STORE, "readside_cdc"),
    (SHOP, "readside_projector"),
    (SHOP, "readside_queries"),
    (SHOP, "shop_owner"),
]


@pytest.mark.parametrize(("database", "role", "statement"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_role_is_refused(postgres: Postgres, database: str, role: str, statement: str) -> None:
    with psycopg.connect(postgres.dsn(database, role), autocommit=True) as db:
        db.execute("set default_transaction_read_only = off")  # the privilege is to refuse, not this default
        with pytest.raises(errors.InsufficientPrivilege):
            db.execute(statement.encode())


@pytest.mark.parametrize(("database", "role"), STRANGERS)
def test_role_cannot_enter_the_other_database(postgres: Postgres, database: str, role: str) -> None:
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.dsn(database, role))


def test_query_role_reads_what_the_projector_makes_and_cannot_change_it(postgres: Postgres) -> None:
    with psycopg.connect(postgres.dsn(STORE, "readside_projector"), autocommit=True) as projector:
        projector.execute("create schema later")
        try:
            projector.execute("create table later.thing as select 7 as id")
            projector.execute(
                "create function later.gone() returns bigint language sql security definer set search_path = ''"
                " as 'with gone as (delete from later.thing returning id) select sum(id) from gone';"
                "revoke execute on function later.gone from public"
            )
            with psycopg.connect(postgres.dsn(STORE, "readside_queries")) as reader:
                reader.execute("listen readside_checkpoint")
                assert reader.execute("select id from later.thing").fetchall() == [(7,)]
                with pytest.raises(errors.ReadOnlySqlTransaction):
                    reader.execute("delete from later.thing")
                reader.rollback()
                reader.execute("set transaction read write")
                assert reader.execute("select later.gone()").fetchall() == [(7,)]
        finally:
            projector.execute("drop schema later cascade")


def test_capturing_role_reads_every_published_table_and_may_replicate(postgres: Postgres) -> None:
    with psycopg.connect(postgres.dsn(SHOP, "readside_cdc")) as db:
        published = [name for (name,) in db.execute("select tablename from pg_publication_tables").fetchall()]
        assert {"users", "orders", "order_items", "payment_transactions"} <= set(published)
        assert not {"idempotency_keys", "schema_migrations"} & set(published)
        assert db.execute("select rolreplication from pg_roles where rolname = current_user").fetchone() == (True,)
        for name in published:
            db.execute(psycopg.sql.SQL("select from {} limit 0").format(psycopg.sql.Identifier(name)))


def test_provisioning_again_changes_nothing_and_repairs_what_was_changed(postgres: Postgres) -> None:
    with psycopg.connect(postgres.dsn(SHOP)) as db:
        db.execute("grant delete on orders to readside_cdc")
        db.execute("alter publication readside drop table orders")
    applied = provision_source(
        postgres.admin_dsn,
        writer_dsn=postgres.dsn(SHOP, "shop_writer"),
        source_dsn=postgres.dsn(SHOP, "readside_cdc"),
        publication="readside",
    )
    assert applied == []
    with psycopg.connect(postgres.dsn(SHOP)) as db:
        assert db.execute("select has_table_privilege('readside_cdc', 'orders', 'delete')").fetchone() == (False,)
        assert db.execute("select from pg_publication_tables where tablename = 'orders'").fetchone() is not None


def test_incomplete_dsn_is_refused_by_what_it_lacks() -> None:
    with pytest.raises(StackError, match="no password"):
        Login.of("postgresql://readside_cdc@127.0.0.1/shop")

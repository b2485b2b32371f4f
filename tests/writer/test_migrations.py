"""The schema: applied once, by its owner, and honest about what does not fit."""

from __future__ import annotations

from typing import LiteralString

import psycopg
import pytest

from writer.migrations import MigrationError, migrate


def test_a_second_run_applies_nothing(shop_database: str) -> None:
    assert migrate(shop_database) == []


def test_an_empty_database_gets_everything(shop_database: str) -> None:
    with psycopg.connect(shop_database, autocommit=True) as db:
        db.execute("drop schema public cascade")
        db.execute("create schema public authorization shop_owner")
    assert migrate(shop_database) == ["0001_shop", "0002_callers"]


def test_the_owner_owns_every_table(shop_database: str) -> None:
    with psycopg.connect(shop_database) as db:
        owners = db.execute("select distinct tableowner from pg_tables where schemaname = 'public'").fetchall()
    assert owners == [("shop_owner",)]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("update schema_migrations set checksum = 'x'", "was edited after it was applied"),
        ("insert into schema_migrations values ('9999_later', 'x')", "newer version"),
        ("revoke create on schema public from shop_owner, pg_database_owner", "alter database .* owner to shop_owner"),
    ],
)
def test_a_database_that_does_not_fit_is_refused(shop_database: str, statement: LiteralString, message: str) -> None:
    with psycopg.connect(shop_database, autocommit=True) as db:
        if statement.startswith("revoke"):
            db.execute("alter schema public owner to postgres")
        db.execute(statement)
    with pytest.raises(MigrationError, match=message):
        migrate(shop_database)


def test_every_foreign_key_has_an_index(shop_database: str) -> None:
    with psycopg.connect(shop_database) as db:
        bare = db.execute(
            """
            select c.conname
            from pg_constraint c
            where c.contype = 'f'
              and not exists (
                  select
                  from pg_index i
                  where i.indrelid = c.conrelid
                    and (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] = c.conkey
              )
            """
        ).fetchall()
    assert bare == []


def test_what_is_captured_has_a_primary_key_and_what_is_private_has_none(shop_database: str) -> None:
    with psycopg.connect(shop_database) as db:
        private = db.execute(
            """
            select t.tablename
            from pg_tables t
            where t.schemaname = 'public'
              and not exists (
                  select
                  from pg_constraint c
                  where c.conrelid = t.tablename::regclass
                    and c.contype = 'p'
              )
            order by 1
            """
        ).fetchall()
    assert private == [("idempotency_keys",), ("schema_migrations",)]

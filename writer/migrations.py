"""The write schema: numbered SQL files in, tables out. Applied once each, in order, and never edited afterwards."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import LiteralString, cast

import psycopg
from psycopg.rows import TupleRow

OWNER = "shop_owner"
WRITER = "shop_writer"
_LOCK = 7_223_001  # any number, but always this one: it keeps two migrating processes apart


class MigrationError(RuntimeError):
    """The database's schema and the files in ``writer/schema`` disagree; nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file of ``writer/schema``."""

    name: str
    sql: LiteralString
    checksum: str


def migrate(dsn: str) -> list[str]:
    """Bring the database at ``dsn`` to the newest schema; answer with the names of the migrations applied now.

    Each migration is one transaction. Everything is made as ``shop_owner`` where that role exists, and
    ``shop_writer``, where it exists, is granted its rows. Safe to call at any time and from several processes.
    Raises `MigrationError` when an applied file was edited or is missing, or when the owner may not create tables.
    """
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("select pg_advisory_lock(%(lock)s)", {"lock": _LOCK})
        _become_owner(conn)
        pending = _pending(_migrations(), _applied(conn))
        for migration in pending:
            _apply(conn, migration)
        if _role_exists(conn, WRITER):
            conn.execute(_text("grants.sql"))
    return [migration.name for migration in pending]


def _migrations() -> list[Migration]:
    names = (entry.name for entry in (files("writer") / "schema").iterdir())
    return [_migration(name) for name in sorted(names) if name[:4].isdigit()]


def _migration(name: str) -> Migration:
    sql = _text(name)
    return Migration(name=name.removesuffix(".sql"), sql=sql, checksum=hashlib.sha256(sql.encode()).hexdigest())


def _text(name: str) -> LiteralString:
    # Shipped with the package and never built from input: as trustworthy as a literal.
    return cast(LiteralString, (files("writer") / "schema" / name).read_text("utf-8"))


def _role_exists(conn: psycopg.Connection[TupleRow], role: str) -> bool:
    return conn.execute("select from pg_roles where rolname = %(role)s", {"role": role}).fetchone() is not None


def _become_owner(conn: psycopg.Connection[TupleRow]) -> None:
    if not _role_exists(conn, OWNER):
        return
    may_create = conn.execute(
        "select has_schema_privilege(%(role)s, 'public', 'create')",
        {"role": OWNER},
    ).fetchone()
    if may_create != (True,):
        raise MigrationError(
            f"role {OWNER} may not create tables in schema public of database {conn.info.dbname}; "
            f"make it the owner: alter database {conn.info.dbname} owner to {OWNER}"
        )
    conn.execute("set role shop_owner")


def _applied(conn: psycopg.Connection[TupleRow]) -> dict[str, str]:
    # No primary key, for the same reason as idempotency_keys: it must not look like a table worth capturing.
    conn.execute(
        """
        create table if not exists schema_migrations (
            name       text        not null unique,
            checksum   text        not null,
            applied_at timestamptz not null default now()
        )
        """
    )
    return dict(conn.execute("select name, checksum from schema_migrations").fetchall())


def _pending(known: list[Migration], applied: dict[str, str]) -> list[Migration]:
    """The migrations still to apply; refuses a history that the files do not tell."""
    if unknown := applied.keys() - {migration.name for migration in known}:
        raise MigrationError(
            f"the database has migrations that writer/schema does not: {', '.join(sorted(unknown))}; "
            "it was migrated by a newer version, run that one"
        )
    for migration in known:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"writer/schema/{migration.name}.sql was edited after it was applied; "
                "restore it and put the change into a new file"
            )
    return [migration for migration in known if migration.name not in applied]


def _apply(conn: psycopg.Connection[TupleRow], migration: Migration) -> None:
    with conn.transaction():
        conn.execute(migration.sql)
        conn.execute(
            "insert into schema_migrations (name, checksum) values (%(name)s, %(checksum)s)",
            {"name": migration.name, "checksum": migration.checksum},
        )

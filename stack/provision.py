"""A PostgreSQL server made ready: roles with least privilege, the two databases, the write schema, the publication.

Whom and what to make is read from the DSNs the processes will use: user, password and database name of each. Every
step may be repeated, and brings a server that was changed by hand back to what is said here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composed, Identifier, Literal

from stack.errors import StackError

OWNER = "shop_owner"
#: What the query server may call beside reading.
FUNCTIONS: tuple[LiteralString, ...] = ("readside.ask_for_retry(text, integer, bigint)", "readside.watch(text)")
Connection = psycopg.Connection[TupleRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A role that a process logs in with, and the database it works in."""

    role: str
    password: str
    database: str

    @classmethod
    def of(cls, dsn: str) -> Login:
        """The login that a DSN states; it must name user, password and database."""
        parts = conninfo_to_dict(dsn)
        missing = [name for name in ("user", "password", "dbname") if not parts.get(name)]
        if missing:
            raise StackError(
                f"a DSN to provision says no {' and no '.join(missing)}; write it as postgresql://user:password@host/db"
            )
        return cls(role=str(parts["user"]), password=str(parts["password"]), database=str(parts["dbname"]))


def provision_source(admin_dsn: str, *, writer_dsn: str, source_dsn: str, publication: str) -> list[str]:
    """Make the write database: its owner, the writer's and the capturing role, the newest schema, the publication.

    Answers with the names of the migrations applied. The writer owns nothing; the capturing role may replicate and
    read the published tables, and nothing else.
    """
    from writer.migrations import migrate

    writer, capture = Login.of(writer_dsn), Login.of(source_dsn)
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        _role(admin, OWNER)
        _role(admin, writer.role, "login", password=writer.password)
        _role(admin, capture.role, "login replication", password=capture.password)
        _database(admin, writer.database, owner=OWNER, guests=[writer.role, capture.role])
    target = make_conninfo(admin_dsn, dbname=writer.database)
    applied = migrate(target)
    with psycopg.connect(target) as admin:
        admin.execute(SQL("grant usage on schema public to {}").format(Identifier(capture.role)))
        tables = _captured_tables(admin)
        _publication(admin, publication, tables)
        _readable(admin, capture.role, tables)
    return applied


def provision_serving(admin_dsn: str, *, serving_dsn: str, queries_dsn: str) -> None:
    """Make the serving store's database: the projector owns it, the query server may read whatever it makes there.

    It may also call the functions there: one of them notes that a dead letter is to be tried again.
    """
    projector, reader = Login.of(serving_dsn), Login.of(queries_dsn)
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        _role(admin, projector.role, "login", password=projector.password)
        _role(admin, reader.role, "login", password=reader.password)
        _database(admin, projector.database, owner=projector.role, guests=[reader.role])
        # A second lock on the door: even a privilege granted by mistake would not let the query server write.
        admin.execute(
            SQL("alter role {} in database {} set default_transaction_read_only = on").format(
                Identifier(reader.role), Identifier(projector.database)
            )
        )
    with psycopg.connect(make_conninfo(admin_dsn, dbname=projector.database)) as admin:
        for grant in ("usage on schemas", "select on tables", "execute on functions"):
            admin.execute(
                SQL("alter default privileges for role {} grant {} to {}").format(
                    Identifier(projector.role), SQL(grant), Identifier(reader.role)
                )
            )
        # A store whose projector made it before such functions were granted.
        for function in FUNCTIONS:
            if _exists(admin, "select from pg_proc where oid = to_regprocedure(%(name)s)", function):
                admin.execute(SQL("grant execute on function {} to {}").format(SQL(function), Identifier(reader.role)))


def _role(admin: Connection, name: str, attributes: LiteralString = "nologin", *, password: str | None = None) -> None:
    if not _exists(admin, "select from pg_roles where rolname = %(name)s", name):
        admin.execute(SQL("create role {}").format(Identifier(name)))
    admin.execute(
        SQL("alter role {} with nosuperuser nocreatedb nocreaterole {} password {}").format(
            Identifier(name), SQL(attributes), Literal(password)
        )
    )


def _database(admin: Connection, name: str, *, owner: str, guests: list[str]) -> None:
    database = Identifier(name)
    if not _exists(admin, "select from pg_database where datname = %(name)s", name):
        admin.execute(SQL("create database {}").format(database))
    admin.execute(SQL("alter database {} owner to {}").format(database, Identifier(owner)))
    admin.execute(SQL("revoke all on database {} from public").format(database))
    admin.execute(SQL("grant connect on database {} to {}").format(database, _names([(guest,) for guest in guests])))


def _captured_tables(admin: Connection) -> list[tuple[str, str]]:
    """Every table of schema public with a primary key; a partitioned one stands for its partitions."""
    rows = admin.execute(
        """
        select namespace.nspname, class.relname
          from pg_class as class
          join pg_namespace as namespace on namespace.oid = class.relnamespace
         where namespace.nspname = 'public'
           and class.relkind in ('r', 'p')
           and not class.relispartition
           and exists (select from pg_index where indrelid = class.oid and indisprimary)
         order by class.relname
        """
    )
    return cast(list[tuple[str, str]], rows.fetchall())


def _publication(admin: Connection, name: str, tables: list[tuple[str, str]]) -> None:
    """Publish exactly these tables; an unchanged publication is not touched, as a change would wait for writers."""
    publication = Identifier(name)
    if not _exists(admin, "select from pg_publication where pubname = %(name)s", name):
        admin.execute(SQL("create publication {}").format(publication))
    admin.execute(SQL("alter publication {} set (publish_via_partition_root = true)").format(publication))
    published = admin.execute(
        "select schemaname, tablename from pg_publication_tables where pubname = %(name)s order by tablename",
        {"name": name},
    ).fetchall()
    if published != tables:
        admin.execute(SQL("alter publication {} set table {}").format(publication, _names(tables)))


def _readable(admin: Connection, role: str, tables: list[tuple[str, str]]) -> None:
    """Let the role read these tables and no other of the schema."""
    admin.execute(SQL("revoke all on all tables in schema public from {}").format(Identifier(role)))
    admin.execute(SQL("grant select on {} to {}").format(_names(tables), Identifier(role)))


def _names(names: list[tuple[str, ...]] | list[tuple[str, str]]) -> Composed:
    return SQL(", ").join(Identifier(*name) for name in names)


def _exists(admin: Connection, query: LiteralString, name: str) -> bool:
    return admin.execute(query, {"name": name}).fetchone() is not None

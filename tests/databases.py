"""Fixtures with a real PostgreSQL: one server for the session, fresh databases cloned from templates for each test."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from stack import postgres as server
from stack.ports import free
from stack.process import stop, tail
from stack.provision import provision_serving, provision_source
from tests import directories

SHOP, STORE = "shop_template", "store_template"


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """A PostgreSQL server for tests: real, fast, and not safe against a crash of the machine."""

    #: libpq URL of the superuser, database postgres.
    admin_dsn: str

    def dsn(self, database: str, user: str | None = None) -> str:
        """A libpq URL of the superuser, or of one of the roles that provisioning makes, on a database."""
        parts = conninfo_to_dict(self.admin_dsn)
        return server.dsn(
            f"{parts['host']}:{parts['port']}", database, user or server.SUPERUSER, str(parts["password"])
        )


@contextmanager
def running(settings: Mapping[str, str]) -> Iterator[Postgres]:
    """A native PostgreSQL with these settings, and nothing in it."""
    # Each projector's start makes and drops dozens of temporary tables, whose files cost more than what is in them.
    with directories.temporary("postgres", in_memory=True) as directory:
        cluster = server.Cluster(
            binaries=server.find_binaries(),
            directory=directory / "postgres",
            address=f"127.0.0.1:{free()[0]}",
            password=secrets.token_hex(8),
            user=server.unprivileged_user(),
            settings=settings,
        )
        log = directory / "postgres.log"
        server.initialise(cluster)
        process = server.start(cluster, log)
        try:
            eventually(
                lambda: process.poll() is None and server.ready(cluster),
                what=lambda: f"PostgreSQL starts: {tail(log)}",
            )
            yield Postgres(admin_dsn=cluster.dsn())
        finally:
            stop(process, signal.SIGINT)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One with the roles of the stack and the templates of its databases."""
    with running({"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}) as made:
        _templates(made)
        yield made


def _templates(postgres: Postgres) -> None:
    provision_source(
        postgres.admin_dsn,
        writer_dsn=postgres.dsn(SHOP, "shop_writer"),
        source_dsn=postgres.dsn(SHOP, "readside_cdc"),
        publication="readside",
    )
    provision_serving(
        postgres.admin_dsn,
        serving_dsn=postgres.dsn(STORE, "readside_projector"),
        queries_dsn=postgres.dsn(STORE, "readside_queries"),
    )


@pytest.fixture
def shop_database(postgres: Postgres) -> Iterator[str]:
    """A libpq URL (superuser) of a fresh write database: the newest schema, the publication, no rows."""
    yield from clone(postgres, SHOP, owner="shop_owner")


@pytest.fixture
def store_database(postgres: Postgres) -> Iterator[str]:
    """A libpq URL (superuser) of a fresh, empty database for a serving store."""
    yield from clone(postgres, STORE, owner="readside_projector")


def clone(postgres: Postgres, template: str, *, owner: str) -> Iterator[str]:
    """A fresh database for a fixture of any scope, dropped when the fixture ends."""
    name = f"{template.removesuffix('_template')}_{secrets.token_hex(4)}"
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as admin:
        admin.execute(
            SQL("create database {} template {} owner {}").format(
                Identifier(name), Identifier(template), Identifier(owner)
            )
        )
        yield postgres.dsn(name)
        admin.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = %(name)s",
            {"name": name},
        )
        admin.execute(SQL("drop database {} with (force)").format(Identifier(name)))


def eventually(
    holds: Callable[[], bool],
    *,
    what: str | Callable[[], str] = "the condition holds",
    deadline_s: float = 20.0,
    every_s: float = 0.02,
) -> None:
    """Wait until the condition holds; fail, saying what was waited for, when the deadline passes.

    ``every_s``: between two looks. One that costs much processor time must be rare, or it slows down what it waits for.
    """
    end = time.monotonic() + deadline_s
    while not holds():
        if time.monotonic() > end:
            pytest.fail(f"not within {deadline_s} s: {what if isinstance(what, str) else what()}")
        time.sleep(every_s)

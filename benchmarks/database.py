"""A database of a benchmark's own, on the stack's server."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from config.settings import Settings


@contextmanager
def database(settings: Settings, name: str) -> Generator[str]:
    """Made anew; the administrator's DSN of it while the block runs, gone afterwards."""
    assert settings.admin_dsn is not None
    admin_dsn = settings.admin_dsn.get_secret_value()
    drop = SQL("drop database if exists {} with (force)").format(Identifier(name))
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(drop)
        admin.execute(SQL("create database {}").format(Identifier(name)))
        try:
            yield make_conninfo(admin_dsn, dbname=name)
        finally:
            admin.execute(drop)
            admin.execute("checkpoint")  # what one wrote is not to be the next one's burden

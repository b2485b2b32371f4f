"""The writer over real HTTP on a real database."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from config.settings import Settings
from tests.databases import Postgres
from tests.writer.harness import Shop, serving


@pytest.fixture
def writer_dsn(shop_database: str, postgres: Postgres) -> str:
    """A libpq URL of the role shop_writer on an empty write database."""
    return postgres.dsn(str(conninfo_to_dict(shop_database)["dbname"]), "shop_writer")


@pytest.fixture
def shop(shop_database: str, writer_dsn: str) -> Iterator[Shop]:
    """A running writer, as the role shop_writer, on an empty database."""
    with serving(Settings(), writer_dsn) as url, psycopg.connect(shop_database, autocommit=True) as db:
        client = Shop(url, db)
        yield client
        client.http.close()

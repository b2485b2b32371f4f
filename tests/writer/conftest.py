"""The writer over real HTTP on a real database."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest
import uvicorn
from psycopg.conninfo import conninfo_to_dict

from config.settings import Settings
from tests.databases import Postgres, eventually
from tests.writer.harness import Shop
from writer.app import make_app
from writer.transaction import open_pool


@pytest.fixture
def writer_dsn(shop_database: str, postgres: Postgres) -> str:
    """A libpq URL of the role shop_writer on an empty write database."""
    return postgres.dsn(str(conninfo_to_dict(shop_database)["dbname"]), "shop_writer")


@pytest.fixture
def shop(shop_database: str, writer_dsn: str) -> Iterator[Shop]:
    """A running writer, as the role shop_writer, on an empty database."""
    app = make_app(Settings(), open_pool(writer_dsn, 8))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started, what="the writer starts")
        port = server.servers[0].sockets[0].getsockname()[1]
        with psycopg.connect(shop_database, autocommit=True) as db:
            client = Shop(f"http://127.0.0.1:{port}", db)
            yield client
            client.http.close()
    finally:
        server.should_exit = True
        thread.join()

"""A serving store with the tables the projector makes, and the query server on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config.settings import Settings
from stack.ports import free
from tests.queries.harness import SCHEMA, Api, Projector, as_queries, serving


@pytest.fixture
def projector(store_database: str) -> Iterator[Projector]:
    """A serving store with the projector's tables, empty, streaming and standing at 0/100."""
    with psycopg.connect(store_database, autocommit=True) as conn:
        conn.execute(SCHEMA)
        yield Projector(conn=conn)


@pytest.fixture
def settings(store_database: str, tmp_path: Path) -> Settings:
    """Settings of a query server on the test's store; nothing else of the stack is there."""
    ports = free(count=2)
    return Settings(
        data_dir=tmp_path,
        queries_address=f"127.0.0.1:{ports[0]}",
        analytics_address=f"127.0.0.1:{ports[1]}",
        queries_dsn=as_queries(store_database),
        kafka="127.0.0.1:1",
        connect_url="http://127.0.0.1:1",
        writer_address="127.0.0.1:1",
        token_wait_s=5.0,
        token_waiters=4,
        currency="EUR",
    )


@pytest.fixture
def api(projector: Projector, settings: Settings) -> Iterator[Api]:
    """The query server on the test's store."""
    with serving(settings) as running:
        yield running

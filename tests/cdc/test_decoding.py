"""A source of which no change can be decoded is refused before a connector is made that could only fail."""

from __future__ import annotations

import psycopg
import pytest

from cdc import connector
from cdc.errors import Fatal
from tests.databases import Postgres, running


def test_a_server_that_decodes_is_taken(postgres: Postgres) -> None:
    with psycopg.connect(postgres.admin_dsn) as source:
        connector._require_decoding(source)


def test_a_server_that_does_not_decode_is_refused_with_what_to_set() -> None:
    with (
        running({"wal_level": "replica", "fsync": "off"}) as server,
        psycopg.connect(server.admin_dsn) as source,
        pytest.raises(Fatal, match=r"wal_level is replica.*wal_level = 'logical'.*restart PostgreSQL"),
    ):
        connector._require_decoding(source)

"""A source of which no change can be decoded is refused before a connector is made that could only fail."""

from __future__ import annotations

import secrets
import signal

import psycopg
import pytest

from cdc import connector
from cdc.errors import Fatal
from stack import postgres as server
from stack.ports import free
from stack.process import stop
from tests import directories
from tests.databases import Postgres, eventually


def test_a_server_that_decodes_is_taken(postgres: Postgres) -> None:
    with psycopg.connect(postgres.admin_dsn) as source:
        connector._require_decoding(source)


def test_a_server_that_does_not_decode_is_refused_with_what_to_set() -> None:
    with directories.temporary("postgres", in_memory=True) as directory:
        cluster = server.Cluster(
            binaries=server.find_binaries(),
            directory=directory / "postgres",
            address=f"127.0.0.1:{free()[0]}",
            password=secrets.token_hex(8),
            user=server.unprivileged_user(),
            settings={"wal_level": "replica", "fsync": "off"},
        )
        server.initialise(cluster)
        process = server.start(cluster, directory / "postgres.log")
        try:
            eventually(lambda: server.ready(cluster), what="PostgreSQL starts")
            with (
                psycopg.connect(cluster.dsn()) as source,
                pytest.raises(Fatal, match=r"wal_level is replica.*wal_level = 'logical'.*restart PostgreSQL"),
            ):
                connector._require_decoding(source)
        finally:
            stop(process, signal.SIGINT)

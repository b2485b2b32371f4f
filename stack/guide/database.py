"""A PostgreSQL with the empty write database, for as long as its catalogue is asked for."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from stack import postgres
from stack.errors import ComponentFailed
from stack.ports import free
from stack.process import stop, tail
from stack.provision import provision_source

PUBLICATION = "readside"
_START_S = 60.0


@contextmanager
def write_database(directory: Path) -> Generator[str]:
    """A libpq URL of the superuser on the write database: the newest schema, the publication, no rows.

    ``directory``: where the cluster is made. Raises StackError.
    """
    cluster = postgres.Cluster(
        binaries=postgres.find_binaries(),
        directory=directory / "postgres",
        address=f"127.0.0.1:{free()[0]}",
        password=secrets.token_hex(16),
        user=postgres.unprivileged_user(),
        settings={"fsync": "off"},  # nothing of it is kept
    )
    log = directory / "postgres.log"
    postgres.initialise(cluster)
    process = postgres.start(cluster, log)
    try:
        deadline = time.monotonic() + _START_S
        while not postgres.ready(cluster):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ComponentFailed(f"postgres for the guide did not start within {_START_S:.0f} s: {tail(log)}")
            time.sleep(0.05)
        provision_source(
            cluster.dsn(),
            writer_dsn=postgres.dsn(cluster.address, "shop", "shop_writer", cluster.password),
            source_dsn=postgres.dsn(cluster.address, "shop", "readside_cdc", cluster.password),
            publication=PUBLICATION,
        )
        yield cluster.dsn("shop")
    finally:
        stop(process, signal.SIGINT)

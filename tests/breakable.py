"""A native stack with what a test needs to break it: its broker behind a proxy, its stores on disks that can be filled.

``python -m tests.breakable ONLY PORTS`` is its supervisor: `stack.run`, with a broker that listens at 127.0.0.2 and tells
everybody to come to 127.0.0.1, where the proxy is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from config.environment import environment_of
from config.settings import Settings
from queries.topics import forget_logs
from stack import kafka, postgres, run, up
from stack.java import Java
from stack.ports import free
from stack.process import spawn, stop
from tests import directories
from tests.backends import ROOT, Native
from tests.databases import eventually
from tests.proxy import Proxy

_DISK_MB = 48


@dataclass(frozen=True, slots=True)
class Disk:
    """A small file system in memory."""

    path: Path

    def fill(self) -> None:
        """Leave no room on it."""
        with (self.path / "filler").open("ab") as filler:
            free = shutil.disk_usage(self.path).free
            os.posix_fallocate(filler.fileno(), 0, free)

    def free(self) -> None:
        """Give the room back."""
        (self.path / "filler").unlink(missing_ok=True)


@dataclass(slots=True, kw_only=True)
class Breakable(Native):
    """A native stack, and what to break it with."""

    network: Proxy
    #: host:port for a query server of a test's own.
    aside: str
    #: By store; none where this machine lets nobody mount one.
    disks: dict[str, Disk] = field(default_factory=dict[str, Disk])
    #: Processes of a test's own, ended with it.
    others: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    def sql(self, statement: str, database: str = "shop", **parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement as the superuser."""
        assert self.settings.admin_dsn is not None
        dsn = self.settings.admin_dsn.get_secret_value().rpartition("/")[0] + f"/{database}"
        with psycopg.connect(dsn, autocommit=True) as admin:
            done = admin.execute(statement.encode(), parameters)
            return done.fetchall() if done.description else []

    def made_whole(self) -> None:
        """Take back what can be taken back, so that one test's failure is not the next one's."""
        for component in list(self.paused):
            self.resume(component)
        self.network.mend()
        for disk in self.disks.values():
            disk.free()
        for other in self.others:
            stop(other)
        self.others.clear()


def breakable(**given: Any) -> Iterator[Breakable]:
    """One of its own with these settings, healthy; it ends with the iteration."""
    with directories.temporary("faults") as directory, ExitStack() as held:
        settings = Settings(data_dir=directory, java_class_cache=False, analytics_nice=0, **given)
        disks = held.enter_context(_disks(directory))
        supervisor = spawn(
            [sys.executable, "-m", __name__, "", "auto"],
            log=up.log_file(directory),
            cwd=ROOT,
            env=environment_of(settings),
        )
        held.callback(stop, supervisor, timeout_s=120)
        # The supervisor has looked by then whether its ports are free; the broker is not asked anything before.
        eventually((directory / "run.toml").exists, what="the supervisor has chosen its ports", deadline_s=60)
        address = Settings(data_dir=directory).kafka
        network = Proxy(address, address.replace("127.0.0.1", "127.0.0.2"))
        held.enter_context(network.running())
        held.callback(stop, supervisor, timeout_s=120)  # before the way to the broker is closed
        held.callback(forget_logs)
        up.wait_healthy(directory, supervisor=supervisor)
        aside = f"127.0.0.1:{free()[0]}"
        stack = Breakable(settings=Settings(data_dir=directory), network=network, aside=aside, disks=disks)
        if disks:
            stack.sql(f"create tablespace small location '{disks['serving'].path}'")
            stack.sql("alter table mirror.users set tablespace small", "readside")
        yield stack


@contextmanager
def _disks(directory: Path) -> Generator[dict[str, Disk]]:
    """A small disk for each store; none where this process may not mount."""
    paths = {"serving": directory / "serving", "analytics": directory / "analytics"}
    user = postgres.unprivileged_user()
    with ExitStack() as mounted:
        for path in paths.values():
            path.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs", str(path)]
            if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
                yield {}
                return
            mounted.callback(subprocess.run, ["umount", "--lazy", str(path)], check=True)
        shutil.chown(paths["serving"], user)
        yield {store: Disk(path) for store, path in paths.items()}


_prepare = kafka.prepare


def _prepare_behind_proxy(directory: Path, address: str, java: Java, jars: Sequence[Path]) -> None:
    _prepare(directory, address, java, jars)
    properties = directory / "server.properties"
    told = properties.read_text()
    properties.write_text(told.replace("\nlisteners=PLAINTEXT://127.0.0.1:", "\nlisteners=PLAINTEXT://127.0.0.2:"))


if __name__ == "__main__":
    kafka.prepare = _prepare_behind_proxy
    sys.exit(run.main())

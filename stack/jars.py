"""The Java part of the stack: which jars, by coordinate and SHA-256, and how they come into the cache.

``config/jars.lock`` is the truth; `fetch` brings exactly it. ``python -m stack.jars lock`` writes it anew from ROOTS.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from config.environment import cache_directory
from stack.errors import MissingComponent

if TYPE_CHECKING:
    from jgo.maven import MavenContext

LOCK = Path(__file__).parents[1] / "config" / "jars.lock"

#: What the stack runs; everything else follows from it. slf4j-simple, because no binding comes along and Kafka's API
#: is the 1.7 line.
ROOTS = (
    "org.apache.kafka:kafka_2.13:4.3.1",
    "org.apache.kafka:connect-runtime:4.3.1",
    "org.apache.kafka:connect-json:4.3.1",
    "io.debezium:debezium-connector-postgres:3.7.0.Final",
    "org.slf4j:slf4j-simple:1.7.36",
)
_CONNECTIONS = 32
_TIMEOUT_S = 30
_PAUSES_S = (0.5, 1.0, 2.0, 4.0)  # between attempts to download one file


@dataclass(frozen=True, slots=True, order=True)
class Jar:
    """One jar: its Maven coordinate, group:artifact:version, and the SHA-256 of its file."""

    coordinate: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where a Maven repository keeps it."""
        group, artifact, version = self.coordinate.split(":")
        return Path(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def locked() -> tuple[Jar, ...]:
    """The jars of the lock file, in its order."""
    return tuple(Jar(entry["coordinate"], entry["sha256"]) for entry in tomllib.loads(LOCK.read_text())["jar"])


def fetch(on_progress: Callable[[int, int], None] = lambda done, of: None) -> list[Path]:
    """Bring every locked jar into the cache and answer with their files, all of them verified.

    ``on_progress`` is told how many of how many are there. Raises MissingComponent when a jar cannot be had or is not
    the file that was locked.
    """
    jars = locked()
    repository = cache_directory() / "maven"
    staging = repository / f".part-{os.getpid()}"
    files: list[Path] = []
    try:
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            for file in pool.map(partial(_fetch_one, repository=repository, staging=staging), jars):
                files.append(file)
                on_progress(len(files), len(jars))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return files


def _fetch_one(jar: Jar, repository: Path, staging: Path) -> Path:
    file = repository / jar.path
    if not file.exists() or _sha256(file) != jar.sha256:
        file.unlink(missing_ok=True)  # the rest of an interrupted download
        _download(jar, repository, staging)
        if _sha256(file) != jar.sha256:
            file.unlink()
            raise MissingComponent(
                f"{jar.coordinate} is not the file that {LOCK.name} names: its SHA-256 differs, so it was not kept; "
                "somebody between here and Maven Central changes files: find out who before you try again"
            )
    return file


def _download(jar: Jar, repository: Path, staging: Path) -> None:
    """Download into the staging folder, then move: two stacks starting at once never share half a file."""
    for pause_s in (*_PAUSES_S, None):
        try:
            part = _resolved(jar, staging)
        except (RuntimeError, OSError) as exc:  # requests' errors are OSErrors
            if pause_s is None:
                raise MissingComponent(
                    f"{jar.coordinate} cannot be downloaded from Maven Central: {exc}; the stack needs it once, then it "
                    f"is in {repository}: check this machine's network or proxy, then run the same command again"
                ) from exc
            time.sleep(pause_s)  # one look-up of many that fails is no outage
        else:
            (repository / jar.path).parent.mkdir(parents=True, exist_ok=True)
            part.replace(repository / jar.path)
            return


def _resolved(jar: Jar, staging: Path) -> Path:
    group, artifact, version = jar.coordinate.split(":")
    return _maven(staging).project(group, artifact).at_version(version).artifact().resolve()


def _maven(repository: Path) -> MavenContext:
    from jgo.maven import MavenContext

    return MavenContext(repo_cache=repository, timeout=_TIMEOUT_S)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def resolve() -> list[Jar]:
    """What ROOTS need to run, with the checksums of what is served now."""
    from jgo.maven import PythonResolver

    context = _maven(cache_directory() / "maven")
    # The mark ! keeps jgo from treating a root's own dependencyManagement as everybody's, which Maven does not: without
    # it Jetty 12.0 and 12.1 get mixed.
    wanted = [context.create_dependency(f"{coordinate}!") for coordinate in ROOTS]
    inputs, others = PythonResolver().resolve(wanted)
    runtime = [*inputs, *(each for each in others if each.scope in ("compile", "runtime", None) and not each.optional)]
    return sorted(
        Jar(f"{each.groupId}:{each.artifactId}:{each.version}", _sha256(each.artifact.resolve()))
        for each in runtime
        if each.type == "jar"
    )


def write_lock(jars: list[Jar]) -> None:
    """Write the lock file."""
    head = (
        "# The jars of the native stack, with the SHA-256 of each file.\n"
        "# Written by `python -m stack.jars lock` from the roots in stack/jars.py; do not edit by hand.\n"
    )
    LOCK.write_text(
        head + "".join(f'\n[[jar]]\ncoordinate = "{jar.coordinate}"\nsha256 = "{jar.sha256}"\n' for jar in jars)
    )


def versions() -> dict[str, str]:
    """The versions of Kafka and Debezium that the lock holds, for people."""
    text = LOCK.read_text()
    names = {"kafka": "connect-runtime", "debezium": "debezium-connector-postgres"}
    return {name: match[1] for name, artifact in names.items() if (match := re.search(rf":{artifact}:([^\"]+)", text))}


if __name__ == "__main__":
    if sys.argv[1:] != ["lock"]:
        sys.exit("usage: python -m stack.jars lock")
    write_lock(resolve())

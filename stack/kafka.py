"""Kafka as a child process: one KRaft node, its directory formatted once, its identity checked by cluster id."""

from __future__ import annotations

import base64
import re
import secrets
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from stack.errors import ComponentFailed
from stack.java import Java, command
from stack.ports import free, split

MAIN = "kafka.Kafka"
_CONFIGURATION = Path(__file__).parents[1] / "config" / "kafka.properties"


def prepare(directory: Path, address: str, java: Java, jars: Sequence[Path]) -> None:
    """Write the configuration, and give the directory a cluster id unless it has one."""
    directory.mkdir(parents=True, exist_ok=True)
    host, _port = split(address)
    [controller] = free(host)  # nobody but the broker itself connects to it
    (directory / "server.properties").write_text(
        f"{_CONFIGURATION.read_text()}\n"
        f"listeners=PLAINTEXT://{address},CONTROLLER://{host}:{controller}\n"
        f"advertised.listeners=PLAINTEXT://{address}\n"
        f"controller.quorum.voters=1@{host}:{controller}\n"
        f"log.dirs={directory / 'log'}\n"
    )
    if not _identity(directory).exists():
        _format(directory, java, jars)


def _format(directory: Path, java: Java, jars: Sequence[Path]) -> None:
    new_id = base64.b64encode(secrets.token_bytes(16), altchars=b"Aa").decode().rstrip("=")
    arguments = ["format", "--cluster-id", new_id, "--config", directory / "server.properties"]
    made = subprocess.run(
        command(java, jars, "kafka.tools.StorageTool", *arguments, heap_mb=128), capture_output=True, text=True
    )
    if made.returncode != 0:
        raise ComponentFailed(
            f"kafka: its directory {directory} could not be formatted: {made.stderr.strip()[-500:]}; "
            "choose another --data-dir if this place is not writable"
        )


def broker(directory: Path, java: Java, jars: Sequence[Path]) -> list[str]:
    """The broker's command line."""
    return command(java, jars, MAIN, directory / "server.properties", keep_classes=True)


def cluster_id(directory: Path) -> str:
    """The identity that this directory was formatted with."""
    match = re.search(r"^cluster\.id=(.+)$", _identity(directory).read_text(), re.MULTILINE)
    return match[1] if match else ""


def ready(address: str, directory: Path) -> bool:
    """True if a broker answers at the address and it is this directory's."""
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    if not answers(address):  # the client would try again for seconds
        return False
    try:
        admin = KafkaAdminClient(bootstrap_servers=address, request_timeout_ms=2_000)
    except KafkaError:
        return False
    try:
        return admin.describe_cluster()["cluster_id"] == cluster_id(directory)
    except KafkaError:
        return False
    finally:
        admin.close()


def answers(address: str) -> bool:
    """True if something accepts a connection at the address: enough to see that a broker we know is alive."""
    try:
        socket.create_connection(split(address), timeout=1).close()
    except OSError:
        return False
    return True


def _identity(directory: Path) -> Path:
    return directory / "log" / "meta.properties"

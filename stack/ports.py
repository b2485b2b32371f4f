"""Addresses to listen on: free ones, taken ones, and who took them."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path

from stack.errors import PortTaken

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp, proc(5)


def split(address: str) -> tuple[str, int]:
    """The host and port of ``host:port``."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def free(host: str = "127.0.0.1", count: int = 1) -> list[int]:
    """Ports that nobody listens on now, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket(_family(host))) for _ in range(count)]
        for each in sockets:
            each.bind((host, 0))
        return [each.getsockname()[1] for each in sockets]


def require_free(name: str, address: str) -> None:
    """Raise PortTaken, naming the holder, if the component could not listen on this address."""
    host, port = split(address)
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            if exc.errno == errno.EACCES:
                raise PortTaken(
                    f"{name} may not listen on {address}: {exc.strerror}; choose a port above 1023"
                ) from exc
            if exc.errno != errno.EADDRINUSE:
                raise PortTaken(f"{name} cannot listen on {address}: {exc.strerror}; choose another address") from exc
            raise PortTaken(
                f"{name} cannot listen on {address}: {holder(port)} holds the port; "
                "stop it, choose another address, or let readside choose: --ports auto"
            ) from exc


def holder(port: int) -> str:
    """The process that listens on a port, as people know it: pid and command line."""
    inodes = _listening(port)
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()] if inodes else []
    for pid in pids:
        if inodes & _descriptors(pid):
            return f"pid {pid} ({command_line(pid)})"
    return "another process"


def command_line(pid: int) -> str:
    """The command line of a process, shortened; empty when it is gone or hidden from us."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    text = " ".join(words).strip()
    return text if len(text) <= 160 else text[:157] + "…"


def _descriptors(pid: int) -> set[str]:
    """What a process holds open; what can be told of it, when it ends meanwhile or is not ours."""
    found: set[str] = set()
    with contextlib.suppress(OSError):
        for descriptor in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                found.add(os.readlink(descriptor))
    return found


def _listening(port: int) -> set[str]:
    """What /proc/<pid>/fd shows for the sockets that listen on the port."""
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET

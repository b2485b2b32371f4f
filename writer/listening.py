"""Where the writer may listen: on loopback, until callers can say who they are."""

from __future__ import annotations

import ipaddress


class NotAllowed(ValueError):
    """The address cannot be listened on; the message says what to set instead."""


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of "host:port" or "[host]:port". Raises `NotAllowed` beyond loopback, and for what is no address."""
    host, separator, port = address.rpartition(":")
    host = host.strip("[]")
    if not separator or not port.isdecimal() or int(port) > 65535:
        raise NotAllowed(f"READSIDE_WRITER_ADDRESS is {address!r}; write host:port, such as 127.0.0.1:8001")
    if not _is_loopback(host):
        raise NotAllowed(
            f"READSIDE_WRITER_ADDRESS is {address}, which others can reach, and the writer cannot tell who calls; "
            f"use 127.0.0.1:{port}"
        )
    return host, int(port)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

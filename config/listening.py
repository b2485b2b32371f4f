"""Where a server may listen: on loopback always; where others can reach it, only if it can tell who calls."""

from __future__ import annotations

import ipaddress
from typing import Literal

from config.settings import ENV_PREFIX, Settings


class NotAllowed(ValueError):
    """The address cannot be listened on; the message says what to set instead."""


def host_and_port(settings: Settings, name: Literal["writer_address", "queries_address"]) -> tuple[str, int]:
    """The two parts of the setting ``name``, "host:port" or "[host]:port". Raises `NotAllowed`."""
    variable, address = ENV_PREFIX + name.upper(), str(getattr(settings, name))
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise NotAllowed(f"{variable} is {address!r}; write host:port, such as 127.0.0.1:8001")
    if settings.auth != "jwt" and not _is_loopback(host):
        raise NotAllowed(
            f"{variable} is {address}, which others can reach, and without tokens nobody knows who calls; "
            f"set READSIDE_AUTH=jwt and a key (READSIDE_JWT_KEY or READSIDE_JWKS), or use 127.0.0.1:{port}"
        )
    return host, int(port)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

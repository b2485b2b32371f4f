"""``python -m queries``: serve the reads until SIGTERM."""

from __future__ import annotations

import ipaddress
import sys

from config.logs import configure_logging
from config.serving import serve
from config.settings import Settings
from queries.app import create_app


def listen_address(address: str) -> tuple[str, int]:
    """Host and port of ``host:port``. Raises ValueError beyond loopback: reads there need a caller's identity."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"queries_address is {address}: the query server has no authentication; use 127.0.0.1:{port}")
    return host, int(port)


def main() -> None:
    """Run the query server."""
    configure_logging()
    settings = Settings()
    try:
        host, port = listen_address(settings.queries_address)
        app = create_app(settings)
    except ValueError as error:
        sys.exit(f"queries: {error}")
    serve(app, host, port, graceful_s=5)


if __name__ == "__main__":
    main()

"""``python -m queries``: serve the reads until SIGTERM."""

from __future__ import annotations

import sys

from config.listening import host_and_port
from config.logs import configure_logging
from config.serving import serve
from config.settings import Settings
from queries.app import create_app


def main() -> None:
    """Run the query server."""
    configure_logging()
    settings = Settings()
    try:
        host, port = host_and_port(settings, "queries_address")
        app = create_app(settings)
    except ValueError as error:
        sys.exit(f"queries: {error}")
    serve(app, host, port, graceful_s=5)


if __name__ == "__main__":
    main()

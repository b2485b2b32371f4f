"""``python -m writer``: serve the commands until SIGTERM."""

from __future__ import annotations

import signal
import sys

from config.identity import Identity
from config.keys import NoKey
from config.listening import NotAllowed, host_and_port
from config.logs import configure_logging
from config.serving import serve
from config.settings import Settings
from config.tracing import configure_tracing
from writer.app import make_app
from writer.transaction import open_pool


def main() -> None:
    """Serve; exits 1 with a line that says why where the settings do not allow it."""
    configure_logging()
    settings = Settings()
    if settings.writer_dsn is None:
        sys.exit("writer: READSIDE_WRITER_DSN is not set; give the libpq URL of the write database")
    try:
        host, port = host_and_port(settings, "writer_address")
        identity = Identity(settings)
    except (NotAllowed, NoKey) as error:
        sys.exit(f"writer: {error}")
    configure_tracing(settings, "readside-writer")
    # uvicorn drains, then raises the signal again for whoever was to get it: a stop that was asked for is a success.
    signal.signal(signal.SIGTERM, _stop)
    pool = open_pool(settings.writer_dsn.get_secret_value(), settings.writer_connections)
    serve(make_app(settings, pool, identity), host, port)


def _stop(_signal: int, _frame: object) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()

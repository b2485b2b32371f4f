"""``python -m cdc``: the connector's supervision as a process of its own, as docker-compose.yml runs it."""

from __future__ import annotations

import logging
import signal
import sys
import threading

from cdc.connector import supervise
from cdc.errors import Fatal, Transient
from config.logs import configure_logging
from config.settings import Settings

_PAUSE_S = 1.0


def main() -> int:
    """Supervise until SIGTERM; 0 then, 2 when going on would lose changes."""
    configure_logging()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    settings = Settings()
    while not stop.is_set():
        try:
            supervise(settings, stop)
        except Transient as exc:
            logging.getLogger("cdc").warning(str(exc), extra={"action": "cdc_waits"})
            stop.wait(_PAUSE_S)
        except Fatal as exc:
            logging.getLogger("cdc").error(str(exc), extra={"action": "cdc_stopped"})
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m cdc``: the connector's supervision as a process of its own, as docker-compose.yml runs it.

``python -m cdc snapshot`` asks the supervision, wherever it runs, for a new snapshot of the source.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading

from cdc.connector import supervise
from cdc.control import request_snapshot
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
    if sys.argv[1:] == ["snapshot"]:
        return _request(settings)
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


def _request(settings: Settings) -> int:
    try:
        request_snapshot(settings.kafka, settings.topic_prefix, "an operator asked for it")
    except Transient as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    sys.stderr.write("asked for; it begins when none is on its way, and stores load it as a difference\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

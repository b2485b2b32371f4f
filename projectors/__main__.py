"""``python -m projectors serving|analytics``: one store's projector as a process."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import nullcontext

from cdc.errors import Fatal, Transient
from config.logs import configure_logging
from config.settings import Settings
from projectors import run
from projectors.verification.process import reconciling

_PAUSE_S = 0.5


def main() -> int:
    """Project until SIGTERM: 0 then; 2 when going on would make the store wrong; 64 for another argument."""
    if sys.argv[1:] not in (["serving"], ["analytics"]):
        sys.stderr.write("usage: python -m projectors serving|analytics\n")
        return 64
    configure_logging()
    if sys.argv[1] == "analytics":
        os.nice(10)  # screens come first: on a small machine analytics takes what they leave
    logger = logging.getLogger("projectors")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    settings = Settings()
    run.settle()
    project = run.serving if sys.argv[1] == "serving" else run.analytics
    with reconciling(settings) if sys.argv[1] == "serving" else nullcontext():
        while not stop.is_set():
            try:
                project(settings, stop)
            except Transient as exc:
                logger.warning(str(exc), extra={"action": "projector_waits"})
                stop.wait(_PAUSE_S)
            except Fatal as exc:
                logger.error(str(exc), extra={"action": "projector_stopped"})
                return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m projectors serving|analytics``: one store's projector as a process."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import ExitStack

from cdc.errors import Fatal, Transient
from config.logs import configure_logging
from config.settings import Settings
from config.tracing import configure_tracing
from projectors import run
from projectors.endpoint import answering
from projectors.metrics import Metrics
from projectors.verification.process import reconciling

_PAUSE_S = 0.5


def main() -> int:
    """Project until SIGTERM: 0 then; 2 when going on would make the store wrong; 64 for another argument."""
    if sys.argv[1:] not in (["serving"], ["analytics"]):
        sys.stderr.write("usage: python -m projectors serving|analytics\n")
        return 64
    configure_logging()
    logger = logging.getLogger("projectors")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    settings = Settings()
    if sys.argv[1] == "analytics":
        os.nice(settings.analytics_nice)
    configure_tracing(settings, f"readside-projector-{sys.argv[1]}")
    run.settle()
    metrics = Metrics(sys.argv[1])
    with ExitStack() as held:
        project = run.analytics
        if sys.argv[1] == "serving":
            project = run.serving
            held.enter_context(answering(settings.serving_metrics_address, metrics))
            held.enter_context(reconciling(settings))
        while not stop.is_set():
            try:
                project(settings, stop, metrics)
            except Transient as exc:
                logger.warning(str(exc), extra={"action": "projector_waits"})
                stop.wait(_PAUSE_S)
            except Fatal as exc:
                logger.error(str(exc), extra={"action": "projector_stopped"})
                return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

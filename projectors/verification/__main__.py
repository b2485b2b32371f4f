"""``python -m projectors.verification``: the reconciler as a process, for as long as its standard input is open."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

_ENDS_S = 1.0  # for what is under way
_BEGINS_S = 3.0  # who starts it has more urgent things to do first


def main() -> int:
    """Verify in the background until standard input ends. Exit code 0."""
    os.nice(10)  # screens come first
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it
    stop = threading.Event()
    threading.Thread(target=_until_closed, args=(stop,), daemon=True).start()
    if stop.wait(_BEGINS_S):
        return 0
    from config.logs import configure_logging
    from config.settings import Settings
    from projectors.verification.reconciler import Reconciler

    configure_logging()
    Reconciler(Settings(), stop).run()
    return 0


def _until_closed(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()
    time.sleep(_ENDS_S)
    os._exit(0)  # in the middle of a query, which only reads


if __name__ == "__main__":
    sys.exit(main())

"""``python -m stack.run ONLY PORTS``: the supervisor's process. `stack.up` starts it and shows what it tells.

Settings come from the environment, the log goes to standard error, everything else to the data directory's state file.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from config.logs import configure_logging
from config.settings import Settings
from stack import jars, plan, state
from stack.components import components_of
from stack.connector import ConnectorThread
from stack.errors import PortTaken, StackError
from stack.ports import require_free
from stack.state import ComponentState, StackState
from stack.supervisor import Supervisor

logger = logging.getLogger(__name__)

_PORT_PATIENCE_S = 5.0  # for what a stack that was just killed leaves behind for a moment


class Teller:
    """Keeps the state file; several threads have something to say."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock = threading.Lock()
        self._state = StackState(state="starting", supervisor=os.getpid(), components=())

    def tell(self, **changes: object) -> None:
        """Change these fields of the published state."""
        with self._lock:
            self._state = state.changed(self._state, **changes)
            state.publish(self._data_dir, self._state)


def main() -> int:
    """Run the stack until SIGTERM or SIGINT: 0 then, 2 with the reason in the state file when it cannot run."""
    only, ports = sys.argv[1:]
    configure_logging()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    given = Settings()
    try:
        lock = state.take_lock(given.data_dir)
    except StackError as exc:
        logger.error(str(exc), extra={"action": "stack_refused"})
        return 2
    teller = Teller(given.data_dir)
    with lock:
        teller.tell(state="starting")
        try:
            _run(given, plan.chosen(only, given), ports, stop, teller)
        except StackError as exc:
            logger.error(str(exc), extra={"action": "stack_failed"})
            teller.tell(state="failed", error=str(exc))
            return 2
        finally:
            state.withdraw(given.data_dir)
    return 0


def _run(given: Settings, names: tuple[str, ...], ports: str, stop: threading.Event, teller: Teller) -> None:
    settings = plan.completed(given, names, ports=ports)
    with ThreadPoolExecutor(max_workers=1) as pool:
        files: Future[list[Path]] = Future()
        if {"kafka", "connect"} & set(names):
            files = pool.submit(jars.fetch, lambda done, of: teller.tell(jars=(done, of)))
        components = components_of(settings, names, files)
        for component in components:
            _wait_for_port(component.name, component.address)
        state.publish_settings(settings)
        connector = ConnectorThread(settings, lambda error: teller.tell(error=error))

        def tell(overall: str, shown: tuple[ComponentState, ...]) -> None:
            teller.tell(state=overall, components=shown)
            if any(each.name == "connect" and each.state == "healthy" for each in shown):
                connector.start()
            if overall == "stopping":
                connector.stop()

        Supervisor(components, settings.data_dir / "logs", tell=tell).run(stop)


def _wait_for_port(name: str, address: str) -> None:
    deadline = time.monotonic() + _PORT_PATIENCE_S
    while address:
        try:
            return require_free(name, address)
        except PortTaken:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())

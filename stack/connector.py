"""The connector's supervision as a thread of the stack: started once, started again with a pause when it raises."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import psycopg

from cdc.connector import supervise
from cdc.errors import Transient
from config.settings import Settings

logger = logging.getLogger(__name__)

_PAUSE_FIRST_S, _PAUSE_MOST_S = 0.2, 10.0
_JOIN_S = 10.0


class ConnectorThread:
    """Runs `cdc.connector.supervise` until it is told to stop."""

    def __init__(self, settings: Settings, tell_error: Callable[[str], None]) -> None:
        """``tell_error`` is called with what keeps the connector from running, and with "" when it runs."""
        self._settings = settings
        self._tell_error = tell_error
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="connector", daemon=True)

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """End; waits until the connector is left alone, but not for ever: the worker is about to stop as well."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        pause_s = _PAUSE_FIRST_S
        while not self._stop.is_set():
            try:
                supervise(self._settings, self._stop, lambda: self._tell_error(""))
            except (Transient, psycopg.OperationalError) as exc:
                pause_s = _PAUSE_FIRST_S
                logger.warning(f"the connector waits: {str(exc).strip()}", extra={"action": "connector_waits"})
            except Exception as exc:  # whatever it is, the stack must say it and keep the rest running
                pause_s = min(2 * pause_s, _PAUSE_MOST_S)
                logger.exception("the connector cannot run", extra={"action": "connector_failed"})
                self._tell_error(f"the connector cannot run: {exc}")
                self._stop.wait(pause_s)
            self._stop.wait(_PAUSE_FIRST_S)

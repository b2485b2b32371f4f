"""How long after a write's answer its read model can be read over HTTP: measured on real writes by reading each one.

Readers wait by the write's token, as a client would; nothing is estimated from clocks or lag.
"""

from __future__ import annotations

import http.client
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

_ROUTES = {"order": "/orders/{}", "user": "/users/{}"}
_TIMEOUT_S = 35.0
_WAIT_S = 30


@dataclass(frozen=True, slots=True)
class Reading:
    """One write that was read."""

    seconds: float  #: from the write's answer to the read's
    status: int


class FreshnessProbe:
    """Reads what was written, in threads of its own; ``seen`` may be called from any thread."""

    def __init__(self, queries_address: str, *, readers: int = 12, headers: Mapping[str, str] | None = None) -> None:
        self._address = queries_address
        self._headers = dict(headers or {})
        self._queue: queue.SimpleQueue[tuple[str, str, float] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._readings: list[Reading] = []
        self._threads = [threading.Thread(target=self._read, daemon=True) for _ in range(readers)]
        for thread in self._threads:
            thread.start()

    def seen(self, kind: str, id: str, token: str, at: float) -> None:
        """A write of an order or a user was answered at ``at`` (time.monotonic())."""
        self._queue.put((_ROUTES[kind].format(id), token, at))

    def readings(self) -> list[Reading]:
        """Everything read so far."""
        with self._lock:
            return list(self._readings)

    def close(self) -> None:
        """Finish what is in hand."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(_TIMEOUT_S)

    def _read(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT_S)
        while (item := self._queue.get()) is not None:
            path, token, at = item
            try:
                connection.request(
                    "GET", path, headers={**self._headers, "Readside-Token": token, "Prefer": f"wait={_WAIT_S}"}
                )
                response = connection.getresponse()
                response.read()
                status = response.status
            except (OSError, http.client.HTTPException):
                connection.close()  # a server that was restarted; the next request connects anew
                status = 0
            with self._lock:
                self._readings.append(Reading(time.monotonic() - at, status))
        connection.close()


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies; NaN without any."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

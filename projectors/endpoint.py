"""The serving projector's own endpoint, on loopback: ``GET /metrics``, and ``GET /livez`` that tells that it runs.

It answers for as long as the process lives, whatever the projector waits for, and projecting never depends on it.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CONTENT_TYPE_LATEST

from projectors.metrics import Metrics

logger = logging.getLogger(__name__)

_RETRY_S = 1.0


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Silent)


class _Silent(WSGIRequestHandler):
    timeout = 5  # seconds for a request to come in

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a probe every second is no event."""


@contextmanager
def answering(address: str, metrics: Metrics) -> Generator[None]:
    """Answer at ``address`` in a thread of its own while the block runs; an address that is taken is waited for."""
    stop = threading.Event()
    thread = threading.Thread(target=_answer, args=(address, metrics, stop), name="endpoint", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5.0)


def _answer(address: str, metrics: Metrics, stop: threading.Event) -> None:
    host, _, port = address.rpartition(":")
    said = False
    while not stop.is_set():
        try:
            server = _Server(host.strip("[]"), int(port))
        except OSError as exc:
            if not said:
                logger.warning(
                    f"nobody can see this projector's metrics: it cannot listen on {address}: {exc.strerror}; stop what "
                    "holds the port, or choose another with READSIDE_SERVING_METRICS_ADDRESS",
                    extra={"action": "metrics_unserved"},
                )
            said = True
            stop.wait(_RETRY_S)
            continue
        server.set_app(_application(metrics))
        with server:
            serving = threading.Thread(target=server.serve_forever, args=(0.1,), name="endpoint loop", daemon=True)
            serving.start()
            stop.wait()
            server.shutdown()
            serving.join(5.0)


def _application(metrics: Metrics) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            start("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
            return [metrics.text()]
        if path == "/livez":
            start("204 No Content", [])
            return []
        start("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"There are /metrics and /livez.\n"]

    return answer

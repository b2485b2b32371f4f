"""A Connect worker's part: its REST interface for one connector, with the state that it keeps, and no connector in it."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

#: Looks at the status for which a resumed connector still tells that it is stopped: a worker starts it a moment later.
_STARTING_LOOKS = 2


class Worker:
    """What a worker knows of a connector, and what was asked of it."""

    def __init__(self) -> None:
        self.state: str | None = None  #: None: it does not know the connector
        self.task: dict[str, str] | None = None
        self.config: dict[str, str] = {}
        self.offset: dict[str, Any] | None = None
        self.asked: list[str] = []  #: all that changes something
        self.refuses: Counter[str] = Counter()  #: how often it answers this with an error, as a worker that rebalances
        self.url = ""
        self._starting = 0

    def fail(self, trace: str) -> None:
        """The task fails."""
        self.task = {"state": "FAILED", "trace": trace}

    def answer(self, method: str, action: str, body: Any) -> tuple[int, Any]:
        """HTTP status and JSON; ``action``: what follows the connector's name."""
        asked = f"{method} {action}"
        if method != "GET":
            self.asked.append(asked)
        if self.refuses[asked] > 0:
            self.refuses[asked] -= 1
            return 409, {"error_code": 409, "message": "Cannot complete request momentarily due to a rebalance"}
        match asked:
            case "GET connector-plugins":
                return 200, [{"class": "io.debezium.connector.postgresql.PostgresConnector", "version": "3.7.0.Final"}]
            case "PUT config":
                self.config = body
                if self.state is None:
                    self._start()
            case _ if self.state is None:
                return 404, {"error_code": 404, "message": "no such connector"}
            case "GET config":
                return 200, self.config
            case "GET status":
                return 200, self._status()
            case "GET offsets":
                return 200, {"offsets": [{"offset": self.offset}] if self.offset else []}
            case "DELETE offsets":
                if self.state != "STOPPED":
                    return 400, {"error_code": 400, "message": "Connectors must be in the STOPPED state"}
                self.offset = None
            case "PUT stop":
                self.state, self.task, self._starting = "STOPPED", None, 0
            case "PUT pause":
                self.state, self.task = "PAUSED", {"state": "PAUSED"}
            case "PUT resume":
                self._starting = _STARTING_LOOKS if self.state == "STOPPED" else 0
                if not self._starting:
                    self._start()
            case _:
                return 405, {}
        return 202, {}

    def _start(self) -> None:
        self.state, self.task = "RUNNING", {"state": "RUNNING"}

    def _status(self) -> dict[str, Any]:
        told = {"connector": {"state": self.state}, "tasks": [{"id": 0} | self.task] if self.task else []}
        if self._starting:
            self._starting -= 1
            if not self._starting:
                self._start()
        return told


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        worker = cast("_Server", self.server).worker
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, told = worker.answer(self.command, self.path.rpartition("/")[2], json.loads(body) if body else None)
        content = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    worker: Worker


@contextmanager
def answering() -> Generator[Worker]:
    """A worker that knows no connector, at its ``url``."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.worker = Worker()
        server.worker.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.worker
        finally:
            server.shutdown()
            thread.join()

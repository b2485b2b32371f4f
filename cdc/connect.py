"""Kafka Connect's REST interface, as far as the connector's life needs it (Kafka 4.3 documentation, section 8.2)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from cdc.causes import told
from cdc.errors import Transient

_STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Status:
    """A connector's state and its one task's; ``task`` is None while there is no task."""

    connector: str  #: RUNNING, STOPPED, PAUSED, FAILED, UNASSIGNED
    task: str | None
    cause: str  #: why the failed task, or connector, failed, without values; empty otherwise

    @property
    def failed(self) -> bool:
        """Whether it, or its task, ended by an error."""
        return "FAILED" in (self.connector, self.task)

    @property
    def stopped(self) -> bool:
        """Whether it has no task because somebody stopped it: an operator, or a restart that did not come to its end."""
        return self.connector == "STOPPED"


class Connect:
    """One connector on one Connect cluster. Every method raises Transient when the worker does not answer."""

    def __init__(self, url: str, name: str) -> None:
        self._name = name
        self._client = httpx.Client(base_url=url, timeout=10.0, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def status(self) -> Status | None:
        """The connector's state; None when the worker does not know it."""
        answer = self._call("GET", f"/connectors/{self._name}/status", missing_ok=True)
        if answer is None:
            return None
        task: dict[str, Any] = answer["tasks"][0] if answer["tasks"] else {}
        trace = task.get("trace") or answer["connector"].get("trace") or ""
        return Status(answer["connector"]["state"], task.get("state"), told(trace))

    def put(self, config: dict[str, str]) -> None:
        """Create the connector, or give it this configuration; waits until the worker tells its state."""
        self._call("PUT", f"/connectors/{self._name}/config", json=config)
        self._await(lambda _: True, "did not begin")

    def offset(self) -> dict[str, Any] | None:
        """The stored source offset; None when none is stored."""
        answer = self._call("GET", f"/connectors/{self._name}/offsets")
        offsets: list[dict[str, Any]] = answer["offsets"] if answer else []
        return offsets[0]["offset"] if offsets else None

    def restart_at_slot(self, config: dict[str, str]) -> None:
        """Stop the connector, remove its stored offset, give it ``config`` and let it run again."""
        self.stop()
        self._call("DELETE", f"/connectors/{self._name}/offsets")
        self.put(config)
        self._call("PUT", f"/connectors/{self._name}/resume")
        # As long as it says stopped it would be started once more.
        self._await(lambda status: not status.stopped, "was not resumed")

    def stop(self) -> None:
        """Stop the connector and wait until its task has ended."""
        self._call("PUT", f"/connectors/{self._name}/stop")
        self._await(lambda status: status.stopped and status.task is None, "did not stop")

    def _await(self, reached: Callable[[Status], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while (status := self.status()) is None or not reached(status):
            if time.monotonic() > deadline:
                raise Transient(f"connector {self._name} {otherwise} within {_STOP_TIMEOUT_S:.0f} s")
            time.sleep(0.1)

    def _call(
        self, method: str, path: str, *, json: dict[str, str] | None = None, missing_ok: bool = False
    ) -> dict[str, Any] | None:
        try:
            response = self._client.request(method, path, json=json)
        except httpx.HTTPError as exc:
            raise Transient(f"Kafka Connect at {self._client.base_url}: {type(exc).__name__}") from exc
        if response.status_code == 404 and missing_ok:
            return None
        if response.is_error:
            # 409 while the worker rebalances; its message names what is wrong and holds no secret (see connector.toml).
            raise Transient(f"Kafka Connect answered {response.status_code} to {method} {path}: {response.text[:500]}")
        return response.json() if response.content else None

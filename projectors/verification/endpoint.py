"""The analytics store as verification asks it: ad hoc SQL, under the limits that are everybody's, and its state."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from cdc.errors import Fatal, Transient

_BUSY_S = 20.0


class Endpoint:
    """Methods raise Transient, Fatal for what asking again does not change, and httpx's errors."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ask(self, sql: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The whole answer. Raises Fatal when it was cut off."""
        answer = self.ask_some(sql, parameters)
        if answer["truncated"]:
            raise Fatal(
                f"the analytics store cannot be verified: an answer was cut off after {len(answer['rows'])} rows by the "
                "limit READSIDE_SQL_ROWS; raise it to 256 or more, then restart the stack"
            )
        return answer

    def ask_some(self, sql: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The answer: ``columns``, ``rows``, and ``truncated``, whether there are more rows than these."""
        deadline = time.monotonic() + _BUSY_S
        response = self._client.post("/sql", json={"sql": sql, "parameters": parameters})
        while response.status_code == 503 and time.monotonic() < deadline:  # others ask too, and only so many at once
            time.sleep(0.25)
            response = self._client.post("/sql", json={"sql": sql, "parameters": parameters})
        if response.status_code == 503:
            raise Transient("the analytics store is busy or loading; try again, or see `readside status`")
        if response.is_error:
            raise Fatal(f"the analytics store refused an oracle: {response.json().get('detail', response.status_code)}")
        return response.json()

    def state(self) -> dict[str, Any]:
        """Where the store stands, and what of it is incomplete."""
        response = self._client.get("/state")
        response.raise_for_status()
        return response.json()

"""Whoever watches read models, as the query server does it: hears what a projector's commits tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg


class Listener:
    def __init__(self, dsn: str) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.connection.execute("listen readside_changed")

    def watch(self, model: str) -> bool | None:
        row = self.connection.execute("select readside.watch(%s)", (model,)).fetchone()
        assert row is not None
        return row[0]

    def heard(self) -> list[tuple[str, Any]]:
        return [(told["model"], told["keys"]) for told in map(json.loads, self._payloads())]

    def _payloads(self) -> Iterator[str]:
        return (notify.payload for notify in self.connection.notifies(timeout=0.3))

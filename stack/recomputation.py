"""``readside rebuild`` for the analytics store: its projector computes the tables anew in one transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import httpx

from config.settings import Settings
from stack import terminal
from stack.errors import StackError
from stack.terminal import Output, data, talk

_LOOK_S = 0.25


def run(settings: Settings, names: Sequence[str], *, output: Output | None) -> int:
    """Ask for it, wait for it, and print what changed. Exit code 0."""
    try:
        with httpx.Client(base_url=f"http://{settings.analytics_address}", timeout=10.0, trust_env=False) as client:
            rebuild = _answer(client.post("/rebuild", json=list(names)))
            with talk.status("the analytics store computes them anew"):
                while rebuild["state"] in ("asked", "building"):
                    time.sleep(_LOOK_S)
                    latest = _answer(client.get("/rebuild"))
                    if latest is None or latest["id"] != rebuild["id"]:
                        raise StackError("the projector ended meanwhile, and nothing changed; ask again")
                    rebuild = latest
    except httpx.HTTPError as exc:
        raise StackError(
            f"the analytics projector at {settings.analytics_address} does not answer ({type(exc).__name__}); "
            "see `readside status`"
        ) from exc
    if rebuild["state"] == "failed":
        raise StackError(f"the rebuild failed and nothing changed: {rebuild['why']}")
    if terminal.chosen(output) == "json":
        terminal.print_json(rebuild["tables"])
    else:
        rows = [(name, of["rows"], of["added"], of["removed"]) for name, of in rebuild["tables"].items()]
        data.print(terminal.table(("table", "rows", "added", "removed"), rows))
    return 0


def _answer(response: httpx.Response) -> Any:
    if response.is_error:
        raise StackError(f"the analytics projector refused: {response.json().get('detail', response.status_code)}")
    return response.json()

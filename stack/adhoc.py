"""``readside sql``: one statement on the analytics store, through the query server, stamped with the answer's as-of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from config.settings import Settings
from stack import bearer, terminal
from stack.errors import StackError
from stack.terminal import Output, data, talk


def run(settings: Settings, statement: str, *, output: Output | None) -> int:
    """Run one statement and print its rows; as-of and cut-offs are said on standard error."""
    answer, as_of = ask(settings, statement)
    if terminal.chosen(output) == "json":
        terminal.print_json(answer)
    else:
        show(answer)
    cut = ", cut off" if answer["truncated"] else ""
    talk.print(f"{answer['row_count']} rows{cut}, as of {as_of}", style="dim")
    return 0


def ask(settings: Settings, statement: str) -> tuple[dict[str, Any], str]:
    """The answer of POST /sql and its as-of. Raises StackError with the problem's own words."""
    try:
        response = httpx.post(
            f"http://{settings.queries_address}/sql",
            json={"sql": statement},
            headers=bearer.headers(settings),
            timeout=settings.sql_timeout_s + 5.0,
            trust_env=False,
        )
    except httpx.HTTPError as exc:
        raise StackError(
            f"the query server at {settings.queries_address} does not answer ({type(exc).__name__}); see `readside status`"
        ) from exc
    if response.is_error:
        problem = response.json()
        said = f"{problem['title']}: {problem.get('detail', '')}"
        advice = bearer.advice(response.status_code)
        raise StackError(said.rstrip(".") + advice if advice else said)
    return response.json(), response.headers.get("Readside-As-Of", "unknown")


def show(answer: Mapping[str, Any]) -> None:
    """Print rows as a table."""
    data.print(terminal.table(answer["columns"], answer["rows"]))

"""Asks ``POST /sql`` of the query server, and says what it refuses in its own words."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from config.settings import Settings
from stack import bearer
from stack.errors import StackError
from stack.sql.pointing import pointed
from stack.sql.visible import visible

ARROW = "application/vnd.apache.arrow.stream"
CSV = "text/csv"
JSON = "application/json"
_CLIENT_SLACK_S = 5.0  # what an answer may take beyond the statement's own limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Which moment an answer shows."""

    as_of: str | None  #: RFC 3339; None when the store has seen no transaction
    lag_ms: int | None
    incomplete: str | None = None  #: why rows may be behind


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """An answer as rows of JSON values."""

    columns: list[str]
    types: list[str] | None  #: DuckDB's, where the server says them
    rows: list[list[Any]]
    truncated: bool
    freshness: Freshness
    body: dict[str, Any]  #: as it was answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """An answer in another media type."""

    content: bytes
    truncated: bool
    freshness: Freshness


class Store:
    """The analytics store, asked through the query server; lives as long as the command."""

    def __init__(self, settings: Settings) -> None:
        self.address = settings.queries_address
        self._timeout_s = settings.sql_timeout_s
        self._client = httpx.Client(
            base_url=f"http://{settings.queries_address}",
            headers=bearer.headers(settings),
            timeout=settings.sql_timeout_s + _CLIENT_SLACK_S,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def rows(self, statement: str) -> Rows:
        """Run one statement. Raises StackError with the problem's own words."""
        response = self._post(statement, JSON)
        body = response.json()
        return Rows(
            columns=body["columns"],
            types=body.get("types"),
            rows=body["rows"],
            truncated=body["truncated"],
            freshness=_freshness(response),
            body=body,
        )

    def encoded(self, statement: str, media_type: str) -> Encoded:
        """Run one statement and get its rows in this media type. Raises StackError."""
        response = self._post(statement, media_type)
        truncated = response.headers.get("Readside-Truncated", "false") == "true"
        return Encoded(content=response.content, truncated=truncated, freshness=_freshness(response))

    def _post(self, statement: str, media_type: str) -> httpx.Response:
        try:
            response = self._client.post("/sql", json={"sql": statement}, headers={"Accept": media_type})
        except httpx.ConnectError as exc:
            raise StackError(
                f"nothing listens at {self.address}, where the query server should: start the stack with "
                "`readside up --detach`, or name another with READSIDE_QUERIES_ADDRESS; see `readside status`"
            ) from exc
        except UnicodeEncodeError as exc:  # how Python hands on bytes that are no UTF-8
            raise StackError("the statement is no text in UTF-8; write it in that") from exc
        except httpx.HTTPError as exc:
            raise StackError(
                f"the query server at {self.address} does not answer ({type(exc).__name__}); see `readside status`"
            ) from exc
        if response.is_error:
            raise StackError(_said(response, statement))
        answered = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if answered != media_type:
            raise StackError(
                f"{self.address} answered {visible(answered) or 'something'} to a request for {media_type}: is that the "
                "query server, and as new as this command? If it is older: `readside down`, `readside up --detach`"
            )
        return response


@contextmanager
def store_of(settings: Settings) -> Generator[Store]:
    """The store, for as long as the block runs."""
    store = Store(settings)
    try:
        yield store
    finally:
        store.close()


def ask(settings: Settings, statement: str) -> Rows:
    """Run one statement. Raises StackError with the problem's own words."""
    with store_of(settings) as store:
        return store.rows(statement)


def _freshness(response: httpx.Response) -> Freshness:
    lag_ms = response.headers.get("Readside-Lag-Ms", "")
    return Freshness(
        as_of=response.headers.get("Readside-As-Of"),
        lag_ms=int(lag_ms) if lag_ms.isdecimal() else None,
        incomplete=response.headers.get("Readside-Incomplete"),
    )


def _said(response: httpx.Response, statement: str) -> str:
    try:
        problem = response.json()
        title, detail = str(problem["title"]), str(problem.get("detail", ""))
        if faults := problem.get("errors"):
            detail = "; ".join(
                f"{each.get('pointer', each.get('parameter', ''))}: {each['message']}" for each in faults
            )
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        return f"HTTP {response.status_code}, and no problem as readside describes them; is that its query server?"
    said = visible(f"{title}: {pointed(detail, statement)}" if detail else title, keep="\n\t")
    advice = bearer.advice(response.status_code, str(problem.get("type", "")))
    return said.rstrip(".") + advice if advice else said

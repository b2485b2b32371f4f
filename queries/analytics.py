"""The analytics store, which its projector alone opens: asked over the projector's own endpoint, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import msgspec

from config.settings import Settings
from projectors.letters import Place
from queries import metrics
from queries.problems import Problem
from queries.store import Gate, freshness_headers, rfc3339, too_many_waiting
from queries.tokens import Demand

CONNECT_TIMEOUT_S = 1.0
_PASSED = ("Readside-Truncated", "Retry-After")  # headers that go on as they are
SLACK_S = 2.0  # what an answer may take beyond its waiting and the statement's own limit


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one statement, as the endpoint sends them."""

    columns: list[str]
    rows: list[list[Any]]
    truncated: bool


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What a problem of the endpoint says that is of use here."""

    as_of: datetime | None = None
    type: str = ""
    actual: str | None = None


class _Letters(msgspec.Struct):
    letters: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An answer of the endpoint: rows, or a problem of its own."""

    status: int
    media_type: str
    body: bytes
    #: Of the answer that is made from it: freshness, whether rows were cut off, and Retry-After of a problem.
    headers: Mapping[str, str]

    @property
    def rows(self) -> Rows:
        """The rows; only of a result with status 200."""
        return msgspec.json.decode(self.body, type=Rows)


class Analytics:
    """The client of the endpoint, and the bound on calls in flight; lives as long as the server."""

    def __init__(self, settings: Settings) -> None:
        self._statement_s = settings.sql_timeout_s
        self._calls = Gate(settings.analytics_calls)
        self._client = httpx.Client(
            base_url=f"http://{settings.analytics_address}",
            timeout=httpx.Timeout(SLACK_S, connect=CONNECT_TIMEOUT_S),
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def query(self, sql: str, parameters: Mapping[str, object], demand: Demand, form: str = "json") -> Result:
        """Run one statement once the store stands where the demand's token says; ``$name`` is a parameter.

        ``form``: json, csv or arrow.

        Raises a problem when the store cannot be asked. What it refuses itself, ``stale-read`` included, is a result.
        """
        return self._ask("/sql", {"sql": sql, "parameters": parameters, "form": form}, demand)

    def statement(self, name: str, parameters: Mapping[str, object], demand: Demand) -> Result:
        """Run one of the store's own statements (projectors/analytics/statements.py); otherwise as ``query``."""
        return self._ask(f"/statements/{name}", {"parameters": parameters}, demand)

    def dead_letters(self) -> list[dict[str, Any]]:
        """What is parked there, without values. Raises a problem when the store cannot be asked."""
        answer = self._settle("GET")
        return msgspec.json.decode(answer.content, type=_Letters).letters

    def retry(self, places: Sequence[Place]) -> None:
        """Have dead letters tried again. Raises a problem when the store cannot be asked."""
        self._settle("POST", [{**place._asdict(), "action": "retry"} for place in places])

    def _settle(self, method: str, wanted: object = None) -> httpx.Response:
        with self._calls.entered() as room:
            if not room:
                raise too_many_waiting()
            try:
                content = None if wanted is None else msgspec.json.encode(wanted)
                return self._client.request(method, "/dead-letters", content=content).raise_for_status()
            except httpx.HTTPError as error:
                raise _unavailable(error) from error

    def _ask(self, path: str, request: Mapping[str, object], demand: Demand) -> Result:
        with self._calls.entered() as room:
            if not room:
                raise too_many_waiting()
            if demand.token is None:
                return self._post(path, request)
            with metrics.waiting("analytics"):
                waiting = {**request, "after_lsn": demand.token.lsn, "wait_s": demand.wait_s}
                result = self._post(path, waiting, demand.wait_s)
            if not (stale := _stale(result)):
                return result
            metrics.STALE.labels("analytics").inc()
            if demand.allow_stale:
                return self._post(path, request, stale=True)
            raise Problem(
                "stale-read",
                f"The analytics store did not contain the write within {demand.wait_s:g} s.",
                headers={"Retry-After": "1", **result.headers},
                expected={"lsn": demand.token.lsn},
                actual={"lsn": stale.actual, "as_of": rfc3339(stale.as_of) if stale.as_of else None},
            )

    def _post(self, path: str, request: Mapping[str, object], wait_s: float = 0.0, *, stale: bool = False) -> Result:
        timeout = httpx.Timeout(self._statement_s + wait_s + SLACK_S, connect=CONNECT_TIMEOUT_S)
        try:
            response = self._client.post(path, content=msgspec.json.encode(request), timeout=timeout)
        except httpx.HTTPError as error:
            raise _unavailable(error) from error
        as_of = _as_of(response)
        headers = {name: response.headers[name] for name in _PASSED if name in response.headers}
        if as_of is not None:
            incomplete = response.headers.get("Readside-Incomplete")
            headers |= freshness_headers(as_of, stale=stale, incomplete=incomplete)
        media_type = response.headers.get("Content-Type", "application/json")
        return Result(status=response.status_code, media_type=media_type, body=response.content, headers=headers)


def _unavailable(error: httpx.HTTPError) -> Problem:
    return Problem("analytics-unavailable", f"Asking it failed: {type(error).__name__}.", headers={"Retry-After": "1"})


def _as_of(response: httpx.Response) -> datetime | None:
    if response.status_code == 503:
        return msgspec.json.decode(response.content, type=_Problem).as_of
    said = response.headers.get("Readside-As-Of")
    return None if said is None else datetime.fromisoformat(said)


def _stale(result: Result) -> _Problem | None:
    """Where the store stands, when that is short of what was asked."""
    problem = msgspec.json.decode(result.body, type=_Problem) if result.status == 503 else None
    return problem if problem and problem.type == "/problems/stale-read" else None

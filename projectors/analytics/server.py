"""The analytics projector's own endpoint, on loopback: how other processes ask a store that only this one can open.

``POST /sql`` {"sql", "parameters", "form", "after_lsn", "wait_s"} and ``POST /statements/NAME``, the same without sql and
form, say in headers where the store stands and whether all rows are in the answer; ``GET /state``, ``/rows``, ``/metrics``,
``GET`` and ``POST /dead-letters`` [{"topic", "partition", "offset", "action"}]. JSON out, problems as RFC 9457 has them.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any, Literal

import msgspec
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cdc.errors import Transient
from config.settings import Settings
from projectors.analytics import sql
from projectors.analytics.formats import MEDIA_TYPES, Form
from projectors.analytics.ready import Question, ReadyAnswers
from projectors.analytics.statements import STATEMENTS
from projectors.analytics.store import AnalyticsStore
from projectors.checkpoint import lsn_text, lsn_value, time_of
from projectors.letters import Asked, Place
from projectors.metrics import Metrics

_TITLES = {
    400: "invalid-statement",
    403: "not-allowed",
    404: "unknown-statement",
    408: "timed-out",
    413: "too-much-memory",
    503: "unavailable",
}


class _Asked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    parameters: dict[str, Any] = {}
    after_lsn: str | None = None
    wait_s: float = 0.0


class _Statement(_Asked, forbid_unknown_fields=True, kw_only=True):
    sql: str
    form: Form = "json"


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    topic: str
    partition: int
    offset: int
    action: Literal["retry", "drop"]


class _Problem(msgspec.Struct, omit_defaults=True):
    type: str
    title: str
    status: int
    detail: str
    expected: str | None = None
    actual: str | None = None
    as_of: datetime | None = None


@contextmanager
def serving(settings: Settings, store: AnalyticsStore, metrics: Metrics | None = None) -> Generator[None]:
    """Answer requests in a thread of its own for as long as the block runs. Raises Transient when its address is taken."""
    # Bound here: a server that cannot bind ends its thread, and nobody would notice before a read is refused.
    ready = ReadyAnswers(store, timeout_s=settings.sql_timeout_s, interval_s=settings.analytics_interval_s)
    with _bound(settings.analytics_address) as address, ready.renewing():
        config = uvicorn.Config(
            application(settings, store, ready, metrics), log_config=None, access_log=False, lifespan="off"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([address],), name="analytics endpoint", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(5.0)


def _bound(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=2048)
    except OSError as exc:
        raise Transient(f"the analytics endpoint cannot listen on {address}: {exc.strerror}") from exc


def application(
    settings: Settings, store: AnalyticsStore, ready: ReadyAnswers, metrics: Metrics | None = None
) -> Starlette:
    """The ASGI application. ``metrics``: of the projector; without one there is nothing to tell."""

    async def ask(request: Request) -> Response:
        try:
            statement = msgspec.json.decode(await request.body(), type=_Statement)
        except msgspec.MsgspecError as exc:
            return _problem(_Problem("invalid-request", "The request cannot be read", 400, str(exc)))
        wanted = sql.Statement(
            sql=statement.sql, parameters=statement.parameters, form=statement.form, most_rows=settings.sql_rows
        )
        run = partial(sql.query, store, wanted)
        return await run_in_threadpool(_answer, settings, store, statement, run, statement.form)

    async def ask_by_name(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATEMENTS:
            return _refusal(sql.Refused(404, f"there is no statement {name}; there are {', '.join(STATEMENTS)}"))
        try:
            asked = msgspec.json.decode(await request.body(), type=_Asked)
            least_lsn = 0 if asked.after_lsn is None else lsn_value(asked.after_lsn)
        except (msgspec.MsgspecError, ValueError) as exc:
            return _problem(_Problem("invalid-request", "The request cannot be read", 400, str(exc)))
        question = Question.of(name, asked.parameters)
        if (answer := ready.find(question, least_lsn)) is not None:
            return _response(answer, "json")
        run = partial(ready.compute, question)
        return await run_in_threadpool(_answer, settings, store, asked, run, "json")

    async def state(_: Request) -> Response:
        at = store.checkpoint
        return _json(
            {
                "store": "analytics",
                "phase": at.phase,
                "end_lsn": lsn_text(at.end_lsn),
                "committed_at": at.committed_at,
                "changes": at.changes,
                "rate": at.rate,
                "state": at.state,
                "dead_letters": store.dead_letter_count,
                "incomplete": store.incomplete,
            }
        )

    async def rows(_: Request) -> Response:
        # Of the store itself, in this process: the places of ad hoc SQL are its users'.
        return await run_in_threadpool(lambda: _json(store.row_counts()))

    async def dead_letters(_: Request) -> Response:
        return await run_in_threadpool(_dead_letters, store)

    async def settle(request: Request) -> Response:
        try:
            wanted = msgspec.json.decode(await request.body(), type=list[_Wanted])
        except msgspec.MsgspecError as exc:
            return _problem(_Problem("invalid-request", "The request cannot be read", 400, str(exc)))
        for each in wanted:
            store.ask(Asked(Place(each.topic, each.partition, each.offset), each.action))
        return Response(status_code=202)

    async def rebuild(_: Request) -> Response:
        return _json(store.rebuilds.latest)

    async def ask_rebuild(request: Request) -> Response:
        try:
            names = msgspec.json.decode(await request.body(), type=list[str])
        except msgspec.MsgspecError as exc:
            return _problem(_Problem("invalid-request", "The request cannot be read", 400, str(exc)))
        if (asked := store.rebuilds.ask(names)) is None:
            return _refusal(sql.Refused(503, "another rebuild is under way; ask again when it has ended"))
        return _json(asked)

    async def prometheus_metrics(_: Request) -> Response:
        return Response(metrics.text() if metrics else b"", media_type=CONTENT_TYPE_LATEST)

    async def alive(_: Request) -> Response:
        return Response(status_code=204)

    return Starlette(routes=[
        Route("/sql", ask, methods=["POST"]),
        Route("/statements/{name}", ask_by_name, methods=["POST"]),
        Route("/state", state),
        Route("/rows", rows),
        Route("/dead-letters", dead_letters, methods=["GET"]),
        Route("/dead-letters", settle, methods=["POST"]),
        Route("/rebuild", rebuild, methods=["GET"]),
        Route("/rebuild", ask_rebuild, methods=["POST"]),
        Route("/metrics", prometheus_metrics),
        Route("/livez", alive),
    ])  # fmt: skip


def _answer(
    settings: Settings, store: AnalyticsStore, asked: _Asked, run: Callable[[], sql.Answer], form: Form
) -> Response:
    if asked.after_lsn is not None:
        try:
            expected = lsn_value(asked.after_lsn)
        except ValueError as exc:
            return _problem(_Problem("invalid-request", "The request cannot be read", 400, str(exc)))
        wait_s = min(asked.wait_s, settings.token_wait_max_s)
        if not store.wait_for(lambda: store.checkpoint.end_lsn >= expected, wait_s):
            at = store.checkpoint
            return _problem(
                _Problem(
                    "/problems/stale-read",
                    "The store has not reached that write yet",
                    503,
                    f"waited {wait_s:g} s",
                    expected=asked.after_lsn,
                    actual=lsn_text(at.end_lsn),
                    as_of=at.committed_at,
                )
            )
    if store.checkpoint.phase == "snapshot":
        return _problem(
            _Problem("/problems/loading", "The first snapshot is still being loaded", 503, "ask again soon")
        )
    try:
        answer = run()
    except sql.Refused as exc:
        return _refusal(exc)
    return _response(answer, form)


def _response(answer: sql.Answer, form: Form) -> Response:
    head = answer.head
    headers = {"Readside-Truncated": str(head.truncated).lower(), "Readside-End-Lsn": head.end_lsn}
    if head.as_of_us is not None:
        headers["Readside-As-Of"] = time_of(head.as_of_us).isoformat()
    if head.dead_letters:
        headers["Readside-Incomplete"] = f"{head.dead_letters} dead letters"
    return Response(answer.body, media_type=MEDIA_TYPES[form], headers=headers)


def _refusal(refused: sql.Refused) -> Response:
    name = _TITLES[refused.status]
    return _problem(_Problem(f"/problems/{name}", name.replace("-", " ").capitalize(), refused.status, str(refused)))


def _dead_letters(store: AnalyticsStore) -> Response:
    if store.checkpoint.phase == "snapshot":
        return _problem(
            _Problem("/problems/loading", "The first snapshot is still being loaded", 503, "ask again soon")
        )
    return _json({
        "letters": [letter.shown for letter in store.dead_letters()],
        "counts": [
            {"topic": topic, "partition": number, **asdict(counts)} for (topic, number), counts in store.counts().items()
        ],
    })  # fmt: skip


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _problem(problem: _Problem) -> Response:
    headers = {"Retry-After": "1"} if problem.status == 503 else None
    return Response(msgspec.json.encode(problem), problem.status, headers, media_type="application/problem+json")

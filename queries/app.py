"""The application: every route, and what lives as long as the server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from config.identity import Identity
from config.serving import require_guards
from config.settings import Settings
from queries import (
    access,
    adhoc,
    dead_letters,
    description,
    events,
    orders,
    page,
    posts,
    problems,
    products,
    summary,
    users,
)
from queries.analytics import Analytics
from queries.documents import Documents
from queries.exposition import Pipeline
from queries.limits import BodyLimit
from queries.metrics import RequestTimer
from queries.problems import KINDS, Problem
from queries.pushes import Pushes
from queries.sampler import Sampler
from queries.shortway import ShortWay
from queries.store import POOL_WAITING, Gate, Store, too_many_waiting

HEALTH_LOOKS = 4  # answers of /health being made at once
SPARE_THREADS = 16  # for the routes that never block: probes and metrics answer whatever the others wait for

#: The routes of the read models, one module per resource. A new one is added here.
ROUTERS = (orders.router, products.router, users.router, posts.router, summary.router, adhoc.router)
#: Of those who operate it: the dashboard, and what is behind it.
OPERATING = (page.router, events.router, dead_letters.router)
#: What is read by id, which has a shorter way to its answer.
RESOURCES = (orders.DETAILS, products.PAGE, users.PROFILE, posts.PAGE)

#: The framework would ask at each request whether somebody wants its telemetry; what there is, /metrics tells.
_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}

server = APIRouter(route_class=access.Guarded, tags=["server"])


def create_app(settings: Settings) -> FastAPI:
    """The query server's application. Raises ValueError when the settings name no store to read, or no key."""
    identity = Identity(settings)
    store, analytics = Store(settings), Analytics(settings)
    documents = Documents(store)
    sampler = Sampler(settings, store.watch.freshness)
    pushes = Pushes(store.dsn)

    def end() -> None:
        sampler.end()
        pushes.end()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        # Every place a request may block at is bounded, and together they take fewer threads than there are.
        anyio.to_thread.current_default_thread_limiter().total_tokens = (
            settings.token_waiters
            + settings.analytics_calls
            + settings.queries_connections
            + POOL_WAITING
            + HEALTH_LOOKS
            + SPARE_THREADS
        )
        store.open()
        documents.start()
        sampler.start()
        pushes.start()
        try:
            yield {"ending": end}  # see config.serving.Http
        finally:
            sampler.stop()
            pushes.stop()
            documents.stop()
            store.close()
            analytics.close()

    app = FastAPI(
        title="readside queries",
        version="1",
        description="Read models of the shop. Reads only; commands go to the writer.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        telemetry=_NO_TELEMETRY,
        responses={422: description.refusal(422)},
    )
    app.state.identity = identity
    app.state.looking = Gate(HEALTH_LOOKS)
    app.state.settings, app.state.store, app.state.analytics = settings, store, analytics
    app.state.documents, app.state.sampler, app.state.pushes = documents, sampler, pushes
    app.state.pipeline = Pipeline(lambda: sampler.look().health)
    problems.install(app)
    for router in (*ROUTERS, *OPERATING, server):
        app.include_router(router)
    require_guards(app, access.Guarded)
    app.openapi = lambda: description.openapi(app, asks=identity.asks)
    app.add_middleware(BodyLimit, limit_bytes=settings.body_limit_bytes)
    app.add_middleware(ShortWay, resources=RESOURCES)
    app.add_middleware(RequestTimer)
    return app


@server.get("/livez", response_class=PlainTextResponse)
def livez() -> str:
    """The process answers."""
    return "ok"


@server.get("/readyz", response_class=PlainTextResponse)
def readyz(request: Request) -> str:
    """The serving store answers and its first snapshot is complete. How far it lags does not matter here."""
    store: Store = request.app.state.store
    store.checkpoint()
    return "ok"


@server.get("/health")
def health(request: Request) -> JSONResponse:
    """Every component and hop of the pipeline with its state, rate and lag; 200 whatever the state.

    `freshness` is of the last minute's commits. A look that is less than half a second old is shared.
    """
    state = request.app.state
    with state.looking.entered() as room:
        if not room:
            raise too_many_waiting()
        sampler: Sampler = state.sampler
        return JSONResponse(sampler.look().to_json())


@server.get("/metrics", response_class=PlainTextResponse)
def prometheus_metrics(request: Request) -> Response:
    """What this process counts, and what a look at the whole pipeline found in the last second, for Prometheus."""
    pipeline: Pipeline = request.app.state.pipeline
    return Response(generate_latest() + pipeline.text(), media_type=CONTENT_TYPE_LATEST)


@server.get("/docs", response_class=HTMLResponse, include_in_schema=False)
def docs() -> str:
    """A page that shows /openapi.json, made of nothing from outside."""
    return resources.files("queries").joinpath("docs.html").read_text("utf-8")


@server.get("/problems/{kind}", response_class=PlainTextResponse)
def problem_kind(kind: str) -> str:
    """What a problem's `type` means and what to do about it."""
    if (known := KINDS.get(kind)) is None:
        raise Problem("not-found", "There is no problem of this kind.")
    return f"{known.title} ({known.status})\n\n{known.meaning}\n"

"""The writer's application: routes, problems and door put together, nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException

from config.identity import Identity
from config.serving import require_guards
from config.settings import Settings
from writer import access, catalog, fulfilment, operation, orders, posts, problems, reviews, stock, users
from writer.execution import Shop
from writer.gate import Gate
from writer.metrics import Metrics
from writer.problems import INVALID, METHOD_NOT_ALLOWED, NOT_FOUND, NOT_JSON, Problem
from writer.transaction import Pool

ROUTES = (users, catalog, stock, orders, fulfilment, reviews, posts, operation)

#: Spans of requests, made only where an OpenTelemetry SDK was set up; its logs would hold the text of exceptions.
_TELEMETRY: TelemetryConfig = {"metrics": False, "logs": False, "operation_spans": False}

_BY_STATUS = {400: NOT_JSON, 404: NOT_FOUND, 405: METHOD_NOT_ALLOWED}


def make_app(settings: Settings, pool: Pool, identity: Identity) -> FastAPI:
    """The application over an open pool; it closes the pool when it shuts down."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        pool.close()

    app = FastAPI(
        title="readside writer",
        description="Commands of the shop. Each is one transaction; every success carries Readside-Token.",
        version="0.1.0",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        telemetry=_TELEMETRY,
    )
    app.state.identity = identity
    app.state.shop = Shop(pool=pool, settings=settings)
    app.state.metrics = Metrics(pool)
    app.add_middleware(Gate, body_limit_bytes=settings.body_limit_bytes, metrics=app.state.metrics)
    app.add_exception_handler(Problem, _refused)
    app.add_exception_handler(HTTPException, _not_served)
    app.add_exception_handler(RequestValidationError, _invalid)
    for module in ROUTES:
        app.include_router(module.routes)
    require_guards(app, access.Guarded)
    app.openapi = lambda: _openapi(app)
    return app


def _refused(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return problem.response()


def _not_served(_: Request, error: Exception) -> Response:
    """What the framework refuses by itself: no such route, no such method, a body that cannot be read."""
    assert isinstance(error, HTTPException)
    kind = _BY_STATUS.get(error.status_code, INVALID)
    return Problem(kind, error.detail, headers=error.headers or {}).response()


def _invalid(_: Request, error: Exception) -> Response:
    """A body that is not JSON, or a request that breaks the rules of its fields. No value is repeated in the answer."""
    assert isinstance(error, RequestValidationError)
    found: Sequence[Any] = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return Problem(NOT_JSON, "the body cannot be parsed as JSON").response()
    if any(each["loc"] == ("body",) and isinstance(each["input"], bytes) for each in found):
        return Problem(NOT_JSON, "the header Content-Type does not say application/json").response()
    errors = [{**_place(each["loc"]), "message": each["msg"]} for each in found]
    return Problem(INVALID, errors[0]["message"], errors=errors).response()


def _place(location: Sequence[str | int]) -> dict[str, str]:
    source, *steps = location
    if source != "body":
        return {"parameter": str(steps[-1])}
    return {"pointer": "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)}


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The document as FastAPI makes it, with our problems for its own error shape and the token on every success."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = document["components"]["schemas"]
        schemas["Problem"] = problems.SCHEMA
        document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            for method, described in operations.items():
                if method != "get":
                    _describe_token(described["responses"])
                if app.state.shop.settings.auth == "jwt" and not access.RULES[f"{method.upper()} {path}"].anybody:
                    described["security"] = [{"bearer": []}]
        app.openapi_schema = document
    return app.openapi_schema


def _describe_token(responses: dict[str, Any]) -> None:
    token = {"description": "Give it to a read, which then waits for this write.", "schema": {"type": "string"}}
    for status, described in responses.items():
        if status.startswith("2"):
            described["headers"] = {"Readside-Token": token}

"""What operators and client authors ask the server itself: is it alive, how is it doing, what does it offer."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from writer.access import Guarded
from writer.execution import Shop
from writer.metrics import Metrics
from writer.problems import KINDS, NOT_FOUND, Problem, refusals

routes = APIRouter(tags=["operation"], route_class=Guarded)

_DOCS = (files("writer") / "docs.html").read_text("utf-8")
_KINDS = {kind.name: kind for kind in KINDS}


@routes.get("/livez", response_class=PlainTextResponse)
def livez() -> str:
    """The process answers."""
    return "ok"


@routes.get("/readyz", response_class=PlainTextResponse, responses={503: {"description": "The database is away."}})
def readyz(request: Request) -> str:
    """The write database answers and has its schema. What is downstream of it does not matter here."""
    shop: Shop = request.app.state.shop
    with shop.pool.connection(timeout=1.0) as db:
        db.execute("select from idempotency_keys limit 0")
    return "ok"


@routes.get("/metrics", response_class=PlainTextResponse, responses=refusals(401, 403))
def metrics(request: Request) -> Response:
    """The server's numbers, for Prometheus."""
    numbers: Metrics = request.app.state.metrics
    return Response(numbers.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@routes.get("/docs", response_class=HTMLResponse, include_in_schema=False)
def docs() -> str:
    """A page that shows the OpenAPI document; it loads nothing from outside."""
    return _DOCS


@routes.get("/problems/{name}", response_class=PlainTextResponse, include_in_schema=False)
def problem(name: str) -> str:
    """What a problem's ``type`` means, and what to do about it."""
    kind = _KINDS.get(name)
    if kind is None:
        raise Problem(NOT_FOUND, "no problem has this name")
    return f"{kind.status} {kind.title}\n\n{kind.advice}\n"

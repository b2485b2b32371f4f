"""What the OpenAPI document says beyond FastAPI's: where a token is needed, and every refusal a route may answer with."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from queries import problems
from queries.access import OPERATOR, RULES, Rule
from queries.problems import KINDS

_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A problem (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "examples": ["/problems/not-found"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}


def openapi(app: FastAPI, *, asks: bool) -> dict[str, Any]:
    """The document, made once; ``asks``: whether this server asks for tokens."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = _PROBLEM_SCHEMA
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            for method, described in operations.items():
                _describe(path, described, RULES.get(f"{method.upper()} {path}", OPERATOR), asks=asks)
        app.openapi_schema = document
    return app.openapi_schema


def _describe(path: str, described: dict[str, Any], rule: Rule, *, asks: bool) -> None:
    named = {parameter["name"] for parameter in described.get("parameters", ())}
    responses: dict[str, Any] = described["responses"]
    responses.pop("422", None)
    responses |= {str(status): refusal(status) for status in sorted(_refusals(path, described, named, rule))}
    if "min_version" in named:
        responses["304"] = {"description": "The caller has this state (If-None-Match)."}
    if rule.asks and asks:
        described["security"] = [{"bearer": []}, *([{}] if rule.anybody else [])]


def _refusals(path: str, described: dict[str, Any], named: set[str], rule: Rule) -> set[int]:
    statuses = {500, 503} if path != "/livez" else {500}
    if named:
        statuses |= {422}
    if "Readside-Token" in named:
        statuses |= {400}
    if "{" in path:
        statuses |= {404}
    if "requestBody" in described:  # of SQL: what the analytics store makes of a statement, as its own problems
        statuses |= {400, 408, 413, 422}
    if rule.asks:
        statuses |= {401} if rule.anybody else {401, 403}
    return statuses


def refusal(status: int) -> dict[str, Any]:
    """The description of this status as a problem."""
    return {
        "description": "; ".join(kind.title for kind in KINDS.values() if kind.status == status) or "A problem",
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }

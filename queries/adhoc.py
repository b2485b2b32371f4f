"""The route for ad hoc SQL: one statement on the analytics store, answered as JSON, CSV or an Arrow stream."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from queries.access import Guarded
from queries.tokens import Headers, demand_of

router = APIRouter(route_class=Guarded, tags=["analytics"])

ARROW = "application/vnd.apache.arrow.stream"
_FORMS = {
    "application/json": "json",
    "application/*": "json",
    "*/*": "json",
    "text/csv": "csv",
    "text/*": "csv",
    ARROW: "arrow",
}


def _sendable(parameters: dict[str, Any]) -> dict[str, Any]:
    try:
        msgspec.json.encode(parameters)
    except UnicodeEncodeError as error:
        raise ValueError("must not contain a lone surrogate") from error
    return parameters


class Statement(BaseModel):
    """One SELECT for DuckDB, with values for its ``$name`` parameters."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "sql": "select status, count(*) from orders where placed_at >= $since::timestamptz group by status",
                    "parameters": {"since": "2026-01-01T00:00:00Z"},
                }
            ]
        },
    )

    sql: str = Field(min_length=1)
    parameters: Annotated[dict[str, Any], AfterValidator(_sendable)] = Field(default_factory=dict)


@router.post(
    "/sql",
    responses={
        200: {
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                ARROW: {"schema": {"type": "string", "format": "binary"}},
            }
        }
    },
)
def ad_hoc_sql(request: Request, statement: Statement, headers: Headers) -> Response:
    """Run one SELECT on the analytics store; `Accept: text/csv` answers CSV, `application/vnd.apache.arrow.stream` Arrow.

    Limits are problems, never a stall. `Readside-Truncated` says whether rows were cut off.
    """
    state = request.app.state
    form = _form(request.headers.get("accept", ""))
    result = state.analytics.query(statement.sql, statement.parameters, demand_of(headers, state.settings), form)
    return Response(result.body, result.status, result.headers, result.media_type)


def _form(accept: str) -> str:
    """The first of the media types that we have; a client that wants another than JSON names it first."""
    named = (part.partition(";")[0].strip().lower() for part in accept.split(","))
    return next((_FORMS[media_type] for media_type in named if media_type in _FORMS), "json")

"""The route for ad hoc SQL: one statement on the analytics store, answered as JSON or CSV."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from queries.access import Guarded
from queries.analytics import Result, Rows
from queries.tokens import Headers, demand_of

router = APIRouter(route_class=Guarded, tags=["analytics"])

_SPECIAL = frozenset('",\r\n')


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


@router.post("/sql", responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}})
def ad_hoc_sql(request: Request, statement: Statement, headers: Headers) -> Response:
    """Run one SELECT on the analytics store; `Accept: text/csv` answers CSV. Limits are problems, never a stall."""
    state = request.app.state
    result = state.analytics.query(statement.sql, statement.parameters, demand_of(headers, state.settings))
    if result.status == 200 and _prefers_csv(request.headers.get("accept", "")):
        return _csv(result)
    return Response(result.body, result.status, result.headers, result.media_type)


def _prefers_csv(accept: str) -> bool:
    """Whether the first of the media types that we have is CSV; a client that wants it names it first."""
    for part in accept.split(","):
        media_type = part.partition(";")[0].strip().lower()
        if media_type in ("application/json", "application/*", "*/*"):
            return False
        if media_type in ("text/csv", "text/*"):
            return True
    return False


def _csv(result: Result) -> Response:
    rows = result.rows
    headers = {**result.headers, "Readside-Truncated": str(rows.truncated).lower()}
    return Response(to_csv(rows), 200, headers, "text/csv; charset=utf-8")


def to_csv(rows: Rows) -> str:
    """RFC 4180 with a header line. Null is an empty field and an empty text is ``""``, so that both come back."""
    lines = (",".join(map(_field, row)) for row in (rows.columns, *rows.rows))
    return "".join(line + "\r\n" for line in lines)


def _field(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return '"' + text.replace('"', '""') + '"' if text == "" or _SPECIAL.intersection(text) else text

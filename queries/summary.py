"""The routes ``/analytics/orders/…``: what the shop sold in a range of time, one statement of the analytics store each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from queries.access import Guarded
from queries.analytics import Rows
from queries.answers.analytics import OrdersHourly, OrdersSummary
from queries.problems import Problem
from queries.store import rfc3339
from queries.tokens import Headers, demand_of

router = APIRouter(route_class=Guarded, tags=["analytics"])

Bound = Annotated[str | None, Query(max_length=40, description="A date, or a time with its offset (RFC 3339).")]


@router.get("/analytics/orders/summary", response_model=OrdersSummary)
def orders_summary(request: Request, headers: Headers, start: Bound = None, end: Bound = None) -> Response:
    """Orders placed from `start` (inclusive) to `end` (exclusive); without a bound, from the first or to the last."""
    return _answer(request, headers, "orders_summary", start, end, summary_of)


@router.get("/analytics/orders/hourly", response_model=OrdersHourly)
def orders_hourly(request: Request, headers: Headers, start: Bound = None, end: Bound = None) -> Response:
    """The same range by the hour, in UTC: each hour with an order, in order."""
    return _answer(request, headers, "orders_hourly", start, end, hourly_of)


def _answer(
    request: Request,
    headers: Headers,
    statement: str,
    start: str | None,
    end: str | None,
    members: Callable[[Rows], Mapping[str, object]],
) -> Response:
    state = request.app.state
    since, until = _instant("start", start), _instant("end", end)
    if since is not None and until is not None and until < since:
        raise _refused("end", "lies before start")
    bounds = {"start": rfc3339(since) if since else None, "end": rfc3339(until) if until else None}
    result = state.analytics.statement(statement, bounds, demand_of(headers, state.settings))
    if result.status != 200:
        return Response(result.body, result.status, result.headers, result.media_type)
    body = msgspec.json.encode({**bounds, "currency": state.settings.currency, **members(result.rows)})
    return Response(body, media_type="application/json", headers=result.headers)


def summary_of(answer: Rows) -> Mapping[str, object]:
    """The summary's members from the rows of the statement ``orders_summary``."""
    rows = [dict(zip(answer.columns, values, strict=True)) for values in answer.rows]

    def part(name: str) -> list[dict[str, Any]]:
        return [row for row in rows if row["part"] == name]

    (whole,) = part("all")
    customers = {row["loyalty_tier"]: row["customers"] for row in part("customers")}
    return {
        "total_orders": whole["orders"],
        "total_revenue": whole["revenue"],
        "average_order_value": whole["average_order_value"],
        "orders_by_status": {row["status"]: row["orders"] for row in part("status")},
        "top_products": [
            {"product_id": str(row["product_id"]), **_some(row, "name", "quantity", "revenue")}
            for row in part("product")
        ],
        "customer_segments": {
            (tier := row["loyalty_tier"]): {"customers": customers[tier], **_some(row, "orders", "revenue")}
            for row in part("tier")
        },
        "by_day": [_some(row, "day", "orders", "cancelled", "revenue") for row in part("day")],
    }


def _some(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


def hourly_of(answer: Rows) -> Mapping[str, object]:
    """The hours, which the statement ``orders_hourly`` gives as JSON."""
    return {"by_hour": msgspec.Raw(answer.rows[0][0].encode())}


def _instant(name: str, text: str | None) -> datetime | None:
    """The moment a bound means: a date is its midnight in UTC, and so is a time without an offset."""
    if text is None:
        return None
    try:
        if len(text) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(text), time.min, UTC)
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _refused(name, "is neither a date (2026-01-31) nor a time (2026-01-31T09:30:00Z)") from error


def _refused(name: str, message: str) -> Problem:
    return Problem("invalid", f"{name} {message}.", errors=[{"parameter": name, "message": f"{name} {message}"}])

"""The routes ``/analytics/orders/…``: what the shop sold in a range of time, computed by DuckDB in one statement each."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response

from queries.access import Guarded
from queries.answers.analytics import OrdersHourly, OrdersSummary
from queries.problems import Problem
from queries.store import rfc3339
from queries.tokens import Headers, demand_of

router = APIRouter(route_class=Guarded, tags=["analytics"])

# The document is made by DuckDB, whole, from one snapshot of the store. Cancelled orders count as orders, not as money.
# Dividing decimals makes floats in DuckDB, so the average is rounded in whole cents.
SUMMARY = """
with placed as (
    select id, customer_id, status, total, placed_at, status <> 'cancelled' as counts
      from orders
     where ($start::timestamptz is null or placed_at >= $start::timestamptz)
       and ($end::timestamptz is null or placed_at < $end::timestamptz)
), totals as (
    select count(*) as orders,
           count(*) filter (counts) as counted,
           coalesce(sum(total) filter (counts), 0)::decimal(18, 2) as revenue
      from placed
), statuses as (
    select status, count(*) as orders from placed group by status
), products as (
    select product_id, arg_max(name, id) as name, sum(quantity) as quantity, sum(line_total)::decimal(18, 2) as revenue
      from order_items
     where order_status <> 'cancelled'
       and ($start::timestamptz is null or placed_at >= $start::timestamptz)
       and ($end::timestamptz is null or placed_at < $end::timestamptz)
     group by product_id
     order by revenue desc, product_id
     limit 10
), segments as (
    select c.loyalty_tier,
           count(distinct p.customer_id) as customers,
           count(*) as orders,
           coalesce(sum(p.total) filter (p.counts), 0)::decimal(18, 2) as revenue
      from placed p
      join customers c on c.id = p.customer_id
     group by c.loyalty_tier
), days as (
    select (placed_at at time zone 'UTC')::date as day,
           count(*) as orders,
           count(*) filter (not counts) as cancelled,
           coalesce(sum(total) filter (counts), 0)::decimal(18, 2) as revenue
      from placed
     group by day
)
select json_object(
           'total_orders', t.orders,
           'total_revenue', t.revenue::varchar,
           'average_order_value', case when t.counted > 0 then (
               ((2 * (t.revenue * 100)::hugeint + t.counted) // (2 * t.counted))::decimal(18, 0) * 0.01
           )::decimal(18, 2)::varchar end,
           'orders_by_status', coalesce((
               select to_json(map(list(status order by status), list(orders order by status))) from statuses
           ), '{}'::json),
           'top_products', coalesce((
               select to_json(list({
                          'product_id': product_id::varchar, 'name': name,
                          'quantity': quantity::bigint, 'revenue': revenue::varchar
                      } order by revenue desc, product_id))
                 from products
           ), '[]'::json),
           'customer_segments', coalesce((
               select to_json(map(
                          list(loyalty_tier order by loyalty_tier),
                          list({'customers': customers, 'orders': orders, 'revenue': revenue::varchar}
                               order by loyalty_tier)
                      ))
                 from segments
           ), '{}'::json),
           'by_day', coalesce((
               select to_json(list({
                          'day': day::varchar, 'orders': orders, 'cancelled': cancelled, 'revenue': revenue::varchar
                      } order by day))
                 from days
           ), '[]'::json)
       )::varchar as document
  from totals t
"""

HOURLY = """
with hours as (
    select date_trunc('hour', placed_at at time zone 'UTC') as hour,
           count(*) as orders,
           count(*) filter (status = 'cancelled') as cancelled,
           count(*) filter (status <> 'cancelled') as counted,
           coalesce(sum(total) filter (status <> 'cancelled'), 0)::decimal(18, 2) as revenue
      from orders
     where ($start::timestamptz is null or placed_at >= $start::timestamptz)
       and ($end::timestamptz is null or placed_at < $end::timestamptz)
     group by hour
)
select json_object('by_hour', coalesce(to_json(list({
           'hour': strftime(hour, '%Y-%m-%dT%H:%M:%SZ'), 'orders': orders, 'cancelled': cancelled,
           'revenue': revenue::varchar, 'average_order_value': case when counted > 0 then (
               ((2 * (revenue * 100)::hugeint + counted) // (2 * counted))::decimal(18, 0) * 0.01
           )::decimal(18, 2)::varchar end
       } order by hour)), '[]'::json))::varchar as document
  from hours
"""

Bound = Annotated[str | None, Query(max_length=40, description="A date, or a time with its offset (RFC 3339).")]


@router.get("/analytics/orders/summary", response_model=OrdersSummary)
def orders_summary(request: Request, headers: Headers, start: Bound = None, end: Bound = None) -> Response:
    """Orders placed from `start` (inclusive) to `end` (exclusive); without a bound, from the first or to the last."""
    return _answer(request, headers, SUMMARY, start, end)


@router.get("/analytics/orders/hourly", response_model=OrdersHourly)
def orders_hourly(request: Request, headers: Headers, start: Bound = None, end: Bound = None) -> Response:
    """The same range by the hour, in UTC: each hour with an order, in order."""
    return _answer(request, headers, HOURLY, start, end)


def _answer(request: Request, headers: Headers, statement: str, start: str | None, end: str | None) -> Response:
    state = request.app.state
    since, until = _instant("start", start), _instant("end", end)
    if since is not None and until is not None and until < since:
        raise _refused("end", "lies before start")
    bounds = {"start": rfc3339(since) if since else None, "end": rfc3339(until) if until else None}
    result = state.analytics.query(statement, bounds, demand_of(headers, state.settings))
    if result.status != 200:
        return Response(result.body, result.status, result.headers, result.media_type)
    document = msgspec.json.decode(result.rows.rows[0][0])
    body = msgspec.json.encode({**bounds, "currency": state.settings.currency, **document})
    return Response(body, media_type="application/json", headers=result.headers)


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

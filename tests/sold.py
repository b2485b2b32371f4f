"""What the shop sold in a range of time, by plain SQL on the source: what the analytics routes must answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any, LiteralString

import psycopg

Range = tuple[datetime | None, datetime | None]  #: from (inclusive), to (exclusive); None for no bound

_PLACED = """
    with placed as (
        select *, to_char(placed_at at time zone 'UTC', 'YYYY-MM-DD') as day,
               to_char(placed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:00:00"Z"') as hour,
               case when status <> 'cancelled' then total end as earned
          from orders
         where (%(start)s::timestamptz is null or placed_at >= %(start)s)
           and (%(end)s::timestamptz is null or placed_at < %(end)s))
"""
_MONEY = "to_char(coalesce(sum(earned), 0), 'FM999999990.00'), to_char(round(avg(earned), 2), 'FM999999990.00')"


def summary(source: psycopg.Connection[Any], within: Range) -> dict[str, Any]:
    """The summary's members, but for the range itself and the currency."""
    ((orders, revenue, average),) = _rows(source, within, f"select count(*), {_MONEY} from placed")
    return {
        "total_orders": orders,
        "total_revenue": revenue,
        "average_order_value": average,
        "orders_by_status": dict(_rows(source, within, "select status, count(*) from placed group by status")),
        "top_products": [
            {"product_id": id, "name": name, "quantity": quantity, "revenue": revenue}
            for id, name, quantity, revenue in _rows(source, within, _TOP)
        ],
        "customer_segments": {
            tier: {"customers": customers, "orders": orders, "revenue": revenue}
            for tier, customers, orders, revenue, _ in _rows(source, within, _SEGMENTS)
        },
        "by_day": [
            {"day": day, "orders": orders, "cancelled": cancelled, "revenue": revenue}
            for day, orders, cancelled, revenue, _ in _rows(source, within, _buckets("day"))
        ],
    }


def hours(source: psycopg.Connection[Any], within: Range) -> list[dict[str, Any]]:
    """Each hour with an order, in order."""
    names = ("hour", "orders", "cancelled", "revenue", "average_order_value")
    return [dict(zip(names, row, strict=True)) for row in _rows(source, within, _buckets("hour"))]


_TOP = """
    select p.id::text, p.name, sum(i.quantity), to_char(sum(i.quantity * i.unit_price), 'FM999999990.00')
      from placed o
      join order_items i on i.order_id = o.id
      join products p on p.id = i.product_id
     where o.status <> 'cancelled'
     group by p.id
     order by sum(i.quantity * i.unit_price) desc, p.id
     limit 10
"""
_SEGMENTS = f"""
    select u.loyalty_tier, count(distinct u.id), count(*), {_MONEY}
      from placed o
      join users u on u.id = o.user_id
     group by u.loyalty_tier
"""


def _buckets(bucket: LiteralString) -> LiteralString:
    return (
        f"select {bucket}, count(*), count(*) filter (where status = 'cancelled'), {_MONEY} "
        f"from placed group by {bucket} order by {bucket}"
    )


def _rows(source: psycopg.Connection[Any], within: Range, query: LiteralString) -> list[Any]:
    start, end = within
    return source.execute(_PLACED + query, {"start": start, "end": end}).fetchall()

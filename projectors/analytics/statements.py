"""Statements that the analytics store answers by name: its own and trusted, each one SELECT, so of one moment.

They read rollups and read models of the reference application (projectors/read_models/order_summary.py); of orders and
their lines themselves only those at the two ends of a range, which lie together, about in the order of their time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

from projectors.analytics.average import average
from projectors.analytics.periods import DAY, HOUR, MONTH, QUARTER, Period, Piece, cut

Parameters = Mapping[str, Any]


#: From what a statement is asked with: its text and parameters. Raises ValueError, with what is wrong.
Statement = Callable[[Parameters], tuple[LiteralString, Parameters]]

# Half of an answer's time is DuckDB's planning. So a range is asked only for the kinds of pieces that it has; and rows are
# put together by whoever asks: joined and made a document here, they would take half as much again.
_SOLD: Mapping[Period, LiteralString] = {
    MONTH: """
         union all
        select product_id, quantity, revenue
          from rollups.sales_by_month
         where month between $month_a::date and $month_b::date or month between $month_c::date and $month_d::date""",
    DAY: """
         union all
        select product_id, quantity, revenue
          from rollups.sales_by_day
         where day between $day_a::date and $day_b::date or day between $day_c::date and $day_d::date""",
}
_ENDS = """
    ends as (
        select customer_id, loyalty_tier, status, total, placed_at
          from orders
         where placed_at between $moment_a::timestamptz and $moment_b::timestamptz
            or placed_at between $moment_c::timestamptz and $moment_d::timestamptz
    ), buyers as (
        select distinct customer_id, loyalty_tier from ends
    ),"""
_ORDERS_AT_ENDS = """
         union all
        select (placed_at at time zone 'UTC')::date as day, loyalty_tier, status, 1, total from ends"""
_CUSTOMERS_AT_ENDS = """
         union all
        select loyalty_tier, 1
          from buyers
         where customer_id not in (
            select user_id
              from rollups.orders_by_customer_and_day
             where day between $first_day::date and $last_day::date
               and user_id in (select customer_id from buyers))"""
_SOLD_AT_ENDS = """
         union all
        select product_id, quantity, line_total
          from order_items
         where order_status <> 'cancelled'
           and (placed_at between $moment_a::timestamptz and $moment_b::timestamptz
                or placed_at between $moment_c::timestamptz and $moment_d::timestamptz)"""


def _summary(periods: Set[Period | None]) -> LiteralString:
    """Of a range with such pieces. Rows say in ``part`` what they are of: all orders, those of a day, a tier or a status;
    the customers of a tier, by number; a product, one of the ten that brought in most. Each part is in order.

    Cancelled orders count as orders, not as money.
    """
    ends = None in periods
    sold = "".join(text for period, text in _SOLD.items() if period in periods)
    return f"""
    with{_ENDS if ends else ""} placed as (
        select day, loyalty_tier, status, orders, total
          from rollups.orders_by_day_and_tier
         where day between $first_day::date and $last_day::date{_ORDERS_AT_ENDS if ends else ""}
    ), counted as (
        select day, loyalty_tier, status, coalesce(sum(orders), 0)::bigint as orders,
               coalesce(sum(orders) filter (status = 'cancelled'), 0)::bigint as cancelled,
               coalesce(sum(total) filter (status <> 'cancelled'), 0)::decimal(18, 2) as revenue
          from placed
         group by grouping sets ((), (day), (loyalty_tier), (status))
    ), first_days as (
        select loyalty_tier, customers
          from rollups.customers_by_day
         where day between $first_day::date and $last_day::date
           and (previous_day = day or previous_day < $first_day::date){_CUSTOMERS_AT_ENDS if ends else ""}
    ), sold as (
        select product_id, quantity, revenue
          from rollups.sales_by_quarter
         where quarter between $quarter_a::date and $quarter_b::date{sold}{_SOLD_AT_ENDS if ends else ""}
    ), top as (
        select product_id, sum(quantity)::bigint as quantity, sum(revenue)::decimal(18, 2) as revenue
          from sold
         group by product_id
         order by revenue desc, product_id
         limit 10
    )
    select case when day is not null then 'day'
                when loyalty_tier is not null then 'tier'
                when status is not null then 'status'
                else 'all' end as part,
           day, loyalty_tier, status, orders, cancelled, revenue,
           {average("revenue", "orders - cancelled")} as average_order_value,
           null as customers, null as product_id, null as name, null as quantity
      from counted
     union all
    select 'customers', null, loyalty_tier, null, null, null, null, null, sum(customers)::bigint, null, null, null
      from first_days
     group by loyalty_tier
     union all
    select 'product', null, null, null, null, null, revenue, null, null, product_id, coalesce(p.name, ''), quantity
      from top
      left join mirror.products p on p.id = product_id
     order by day, loyalty_tier, status, revenue desc, product_id
    """


# One JSON text, made by DuckDB: the rows of a year would be slower to take out one by one.
_HOURLY = f"""
    with hours as (
        select hour, orders, cancelled, revenue, average_order_value
          from hourly_orders
         where hour between $hour_a::timestamp and $hour_b::timestamp
         union all
        select hour, orders, cancelled, revenue, {average("revenue", "orders - cancelled")} as average_order_value
          from (
            select date_trunc('hour', placed_at at time zone 'UTC') as hour, count(*) as orders,
                   count(*) filter (status = 'cancelled') as cancelled,
                   coalesce(sum(total) filter (status <> 'cancelled'), 0)::decimal(18, 2) as revenue
              from orders
             where placed_at between $moment_a::timestamptz and $moment_b::timestamptz
                or placed_at between $moment_c::timestamptz and $moment_d::timestamptz
             group by hour)
    )
    select coalesce(to_json(list({{
               'hour': strftime(hour, '%Y-%m-%dT%H:%M:%SZ'), 'orders': orders, 'cancelled': cancelled,
               'revenue': revenue::varchar, 'average_order_value': average_order_value::varchar
           }} order by hour)), '[]'::json)::varchar as by_hour
      from hours
"""


def _orders_summary(asked: Parameters) -> tuple[LiteralString, Parameters]:
    since, until = _range(asked)
    pieces = list(cut(since, until, (QUARTER, MONTH, DAY)))
    bounds = {
        **_bounds(_of(DAY, cut(since, until, (DAY,))), ("first_day", "last_day")),
        **_bounds(_of(QUARTER, pieces), ("quarter_a", "quarter_b")),
    }
    for period, names in _PAIRS.items():
        if found := _of(period, pieces):
            bounds |= _bounds(found, *names)
    return _summary({piece.of for piece in pieces}), bounds


def _orders_hourly(asked: Parameters) -> tuple[LiteralString, Parameters]:
    pieces = list(cut(*_range(asked), (HOUR,)))
    return _HOURLY, {**_bounds(_of(HOUR, pieces), ("hour_a", "hour_b")), **_bounds(_of(None, pieces), *_PAIRS[None])}


#: By the name that they are asked for with. Each takes ``start`` and ``end`` (excluded), times in RFC 3339 or null.
STATEMENTS: Mapping[str, Statement] = {"orders_summary": _orders_summary, "orders_hourly": _orders_hourly}

_PAIRS: Mapping[Period | None, Sequence[tuple[str, str]]] = {
    MONTH: (("month_a", "month_b"), ("month_c", "month_d")),
    DAY: (("day_a", "day_b"), ("day_c", "day_d")),
    None: (("moment_a", "moment_b"), ("moment_c", "moment_d")),
}


def _range(asked: Parameters) -> tuple[datetime | None, datetime | None]:
    if unknown := asked.keys() - {"start", "end"}:
        raise ValueError(f"there is no parameter {', '.join(sorted(unknown))}; there are start and end")
    return _instant("start", asked.get("start")), _instant("end", asked.get("end"))


def _instant(name: str, text: Any) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
        # Without an offset it would be of the machine's zone.
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is not a time such as 2026-01-31T09:30:00Z") from error


def _of(period: Period | None, pieces: Iterable[Piece]) -> Sequence[Piece]:
    return [piece for piece in pieces if piece.of == period]


def _bounds(pieces: Sequence[Piece], *names: tuple[str, str]) -> Parameters:
    """The first and the last moment of each piece, by such names; what has none is empty."""
    found: dict[str, str] = {}
    for number, (first, last) in enumerate(names):
        found |= {first: "infinity", last: "-infinity"}
        if number < len(pieces):
            since, until = pieces[number].since, pieces[number].until
            found[first] = "-infinity" if since is None else since.isoformat()
            found[last] = "infinity" if until is None else _last_before(until)
    return found


def _last_before(until: datetime) -> str:
    # Python's calendar begins here, PostgreSQL's and DuckDB's do not.
    if until == datetime.min.replace(tzinfo=UTC):
        return "0001-12-31 (BC) 23:59:59.999999+00"
    return (until - timedelta(microseconds=1)).isoformat()

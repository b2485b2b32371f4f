"""Analytics: one row per UTC day with at least one order."""

from projectors.analytics.average import average
from projectors.read_model import ReadModel
from projectors.rollup import Rollup

ORDERS_BY_DAY = Rollup(
    store="analytics",
    name="orders_by_day",
    comment="One row per UTC day of placing: orders, and money of those that are not cancelled.",
    of="orders",
    key=("day",),
    query="""
        select (placed_at at time zone 'UTC')::date as day,
               count(*) as orders,
               count(*) filter (status = 'cancelled') as cancelled,
               coalesce(sum(total) filter (status <> 'cancelled'), 0) as revenue
          from changed
         group by day
    """,
)

DAILY_ORDERS = ReadModel(
    store="analytics",
    name="daily_orders",
    comment="One row per UTC day of placing; cancelled orders count in orders, not in revenue.",
    key=("day",),
    columns="""
        day                 date not null,
        orders              bigint not null,
        cancelled           bigint not null,
        revenue             decimal(18, 2) not null,
        average_order_value decimal(18, 2)
    """,
    affected_by={"rollups.orders_by_day": "select day from changed"},
    query=f"""
        select day, orders, cancelled, revenue,
               {average("revenue", "orders - cancelled")} as average_order_value
          from rollups.orders_by_day
         where day in (select day from affected)
    """,  # noqa: S608
)

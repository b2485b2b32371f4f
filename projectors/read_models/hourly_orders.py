"""Analytics: one row per UTC hour with at least one order."""

from projectors.analytics.average import average
from projectors.read_model import ReadModel
from projectors.rollup import Rollup

ORDERS_BY_HOUR = Rollup(
    store="analytics",
    name="orders_by_hour",
    comment="One row per UTC hour of placing: orders, and money of those that are not cancelled.",
    of="orders",
    key=("hour",),
    query="""
        select date_trunc('hour', placed_at at time zone 'UTC') as hour,
               count(*) as orders,
               count(*) filter (status = 'cancelled') as cancelled,
               coalesce(sum(total) filter (status <> 'cancelled'), 0) as revenue
          from changed
         group by hour
    """,
)

HOURLY_ORDERS = ReadModel(
    store="analytics",
    name="hourly_orders",
    comment="One row per hour of placing, in UTC; cancelled orders count in orders, not in revenue.",
    key=("hour",),
    columns="""
        hour                timestamp not null,
        orders              bigint not null,
        cancelled           bigint not null,
        revenue             decimal(18, 2) not null,
        average_order_value decimal(18, 2)
    """,
    affected_by={"rollups.orders_by_hour": "select hour from changed"},
    query=f"""
        select hour, orders, cancelled, revenue,
               {average("revenue", "orders - cancelled")} as average_order_value
          from rollups.orders_by_hour
         where hour in (select hour from affected)
    """,  # noqa: S608
)

"""Analytics: one row per UTC day with at least one order."""

from projectors.read_model import ReadModel

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
    affected_by={"orders": "select (placed_at at time zone 'UTC')::date from changed"},
    query="""
        select (o.placed_at at time zone 'UTC')::date as day,
               count(*) as orders,
               count(*) filter (o.status = 'cancelled') as cancelled,
               coalesce(sum(o.total) filter (o.status <> 'cancelled'), 0) as revenue,
               round(sum(o.total) filter (o.status <> 'cancelled')
                     / nullif(count(*) filter (o.status <> 'cancelled'), 0), 2) as average_order_value
          from mirror.orders o
         where (o.placed_at at time zone 'UTC')::date in (select day from affected)
         group by 1
    """,
)

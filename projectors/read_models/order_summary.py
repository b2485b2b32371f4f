"""Analytics: what the answers on orders in a range of time are summed up from (projectors/analytics/statements.py).

A range is cut into whole quarters, months and days, and at its two ends into orders and lines themselves. Money and orders
of a range add up over its days. Customers do not: who ordered on two days is one. But of a customer's days in a range
exactly one has no earlier one in that range, so ``customers_by_day`` counts days by the day before them.
"""

from projectors.read_model import ReadModel
from projectors.rollup import Rollup

ORDERS_BY_DAY_AND_TIER = Rollup(
    store="analytics",
    name="orders_by_day_and_tier",
    comment="One row per UTC day of placing, loyalty tier as it is today and status: orders, and what they come to.",
    of="read_models.orders",
    key=("day", "loyalty_tier", "status"),
    query="""
        select (placed_at at time zone 'UTC')::date as day, loyalty_tier, status,
               count(*) as orders, sum(total)::decimal(18, 2) as total
          from changed
         group by day, loyalty_tier, status
    """,
)

SALES_BY_DAY = Rollup(
    store="analytics",
    name="sales_by_day",
    comment="One row per UTC day of placing and product: what was sold by orders that are not cancelled.",
    of="read_models.order_items",
    key=("day", "product_id"),
    query="""
        select (placed_at at time zone 'UTC')::date as day, product_id,
               sum(quantity)::bigint as quantity, sum(line_total)::decimal(18, 2) as revenue
          from changed
         where order_status <> 'cancelled'
         group by day, product_id
    """,
)

SALES_BY_MONTH = Rollup(
    store="analytics",
    name="sales_by_month",
    comment="One row per month, by its first day, and product: what was sold.",
    of="rollups.sales_by_day",
    key=("month", "product_id"),
    query="""
        select date_trunc('month', day)::date as month, product_id,
               sum(quantity)::bigint as quantity, sum(revenue)::decimal(18, 2) as revenue
          from changed
         group by month, product_id
    """,
)

SALES_BY_QUARTER = Rollup(
    store="analytics",
    name="sales_by_quarter",
    comment="One row per quarter, by its first day, and product: what was sold.",
    of="rollups.sales_by_month",
    key=("quarter", "product_id"),
    query="""
        select date_trunc('quarter', month)::date as quarter, product_id,
               sum(quantity)::bigint as quantity, sum(revenue)::decimal(18, 2) as revenue
          from changed
         group by quarter, product_id
    """,
)

ORDERS_BY_CUSTOMER_AND_DAY = Rollup(
    store="analytics",
    name="orders_by_customer_and_day",
    comment="One row per user and UTC day on which they placed orders.",
    of="orders",
    key=("day", "user_id"),
    query="""
        select (placed_at at time zone 'UTC')::date as day, user_id, count(*) as orders
          from changed
         group by day, user_id
    """,
)

CUSTOMER_DAYS = ReadModel(
    store="analytics",
    name="customer_days",
    comment="One row per customer who ever ordered: the UTC days on which they did, in order.",
    key=("customer_id",),
    columns="""
        customer_id  bigint not null,
        loyalty_tier varchar not null,
        days         date[] not null
    """,
    affected_by={
        "rollups.orders_by_customer_and_day": "select user_id from changed",
        "users": "select id from changed",
    },
    query="""
        select u.id as customer_id, u.loyalty_tier, o.days
          from mirror.users u
          join (
            select user_id, list(day order by day) as days
              from rollups.orders_by_customer_and_day
             where user_id in (select customer_id from affected)
             group by user_id) o on o.user_id = u.id
         where u.id in (select customer_id from affected)
    """,
)

CUSTOMERS_BY_DAY = Rollup(
    store="analytics",
    name="customers_by_day",
    comment="One row per UTC day, customers' day before it (the same for none) and loyalty tier: how many ordered then.",
    of="read_models.customer_days",
    key=("day", "previous_day", "loyalty_tier"),
    query="""
        select day, previous_day, loyalty_tier, count(*) as customers
          from (
            select loyalty_tier, unnest(days) as day, unnest(list_prepend(days[1], days[1:-2])) as previous_day
              from changed)
         group by day, previous_day, loyalty_tier
    """,
)

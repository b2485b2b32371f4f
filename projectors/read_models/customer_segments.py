"""Analytics: one row per loyalty tier with at least one customer who ordered."""

from projectors.read_model import ReadModel
from projectors.rollup import Rollup

CUSTOMERS_BY_TIER = Rollup(
    store="analytics",
    name="customers_by_tier",
    comment="One row per loyalty tier: customers who ordered, all their orders, and what was not cancelled of them.",
    of="read_models.customers",
    key=("loyalty_tier",),
    query="""
        select loyalty_tier,
               count(*) filter (orders > 0) as customers,
               sum(orders)::bigint as orders,
               sum(revenue)::decimal(18, 2) as revenue
          from changed
         group by loyalty_tier
    """,
)

CUSTOMER_SEGMENTS = ReadModel(
    store="analytics",
    name="customer_segments",
    comment="One row per loyalty tier, as it is today: customers who ordered, their orders, and revenue not cancelled.",
    key=("loyalty_tier",),
    columns="""
        loyalty_tier varchar not null,
        customers    bigint not null,
        orders       bigint not null,
        revenue      decimal(18, 2) not null
    """,
    affected_by={"rollups.customers_by_tier": "select loyalty_tier from changed"},
    query="""
        select loyalty_tier, customers, orders, revenue
          from rollups.customers_by_tier
         where loyalty_tier in (select loyalty_tier from affected)
    """,
)

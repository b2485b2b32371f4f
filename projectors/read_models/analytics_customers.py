"""Analytics: one row per user, with what they ordered."""

from projectors.read_model import ReadModel
from projectors.rollup import Rollup

ORDERS_BY_CUSTOMER = Rollup(
    store="analytics",
    name="orders_by_customer",
    comment="One row per user with orders.",
    of="orders",
    key=("user_id",),
    query="""
        select user_id, count(*) as orders, coalesce(sum(total) filter (status <> 'cancelled'), 0) as revenue
          from changed
         group by user_id
    """,
)

CUSTOMERS = ReadModel(
    store="analytics",
    name="customers",
    comment="One row per user of the shop; cancelled orders count in orders, not in revenue.",
    key=("id",),
    columns="""
        id           bigint not null,
        full_name    varchar not null,
        email        varchar not null,
        loyalty_tier varchar not null,
        status       varchar not null,
        orders       bigint not null,
        revenue      decimal(18, 2) not null,
        created_at   timestamptz not null
    """,
    affected_by={
        "users": "select id from changed",
        "rollups.orders_by_customer": "select user_id from changed",
    },
    query="""
        select u.id, u.first_name || ' ' || u.last_name as full_name, u.email, u.loyalty_tier, u.status,
               coalesce(o.orders, 0) as orders, coalesce(o.revenue, 0) as revenue, u.created_at
          from mirror.users u
          left join rollups.orders_by_customer o on o.user_id = u.id
         where u.id in (select id from affected)
    """,
)

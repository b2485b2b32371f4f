"""Analytics: one row per user."""

from projectors.read_model import ReadModel

CUSTOMERS = ReadModel(
    store="analytics",
    name="customers",
    comment="One row per user of the shop.",
    key=("id",),
    columns="""
        id           bigint not null,
        full_name    varchar not null,
        email        varchar not null,
        loyalty_tier varchar not null,
        status       varchar not null,
        created_at   timestamptz not null
    """,
    affected_by={"users": "select id from changed"},
    query="""
        select u.id, u.first_name || ' ' || u.last_name as full_name, u.email, u.loyalty_tier, u.status, u.created_at
          from mirror.users u
         where u.id in (select id from affected)
    """,
)

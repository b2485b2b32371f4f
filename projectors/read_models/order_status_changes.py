"""Analytics: what happened to orders, as their changes in the change stream tell it."""

from projectors.read_model import History

ORDER_STATUS_CHANGES = History(
    store="analytics",
    name="order_status_changes",
    comment="One row per change of an order's status, with the time of its commit; the first one has no status before.",
    of="orders",
    columns="""
        order_id        bigint not null,
        changed_at      timestamptz not null,
        status          varchar not null,
        previous_status varchar,
        end_lsn         ubigint not null,
        place           bigint not null
    """,
    # An order that was there before readside has no recorded past: its present status counts from its last change.
    query="""
        select new.id as order_id, end_lsn, place, new.status as status, old.status as previous_status,
               case when old is null then new.updated_at else "at" end as changed_at
          from transition
         where new is not null
           and old.status is distinct from new.status
    """,
)

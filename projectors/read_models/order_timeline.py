"""What happened to an order, as its changes in the change stream tell it."""

from projectors.read_model import History

ORDER_TIMELINE = History(
    name="order_timeline",
    comment="One row per change of an order's status, in commit order.",
    of="orders",
    columns="""
        order_id bigint not null,
        end_lsn  pg_lsn not null,
        place    bigint not null,
        at       timestamptz not null,
        status   text not null,
        primary key (order_id, end_lsn, place)
    """,
    # An order that was there before readside has no recorded past: its present status counts from its last change.
    query="""
        select (new).id as order_id, end_lsn, place, (new).status,
               case when (old).id is null then (new).updated_at else at end as at
          from transition
         where (new).status is distinct from (old).status
           and (new).id is not null
    """,
)

"""The reference application's read models. To add one: write its file, and name the file here.

1. Copy the file that is nearest to yours.
2. ``query``: what a row is, from ``mirror.…``, for the keys in ``affected``. Counts and sums over many rows are rollups,
   declared in the same file and read as ``rollups.…``, so that they cost what the change costs.
3. ``affected_by``: for each table or rollup the query reads, which keys a changed row touches.
4. Add its name to ``DECLARATIONS``. The projector builds it from the mirror when it starts.
5. ``./readside test`` checks its laws; ``./readside verify`` compares it with the source, by your own SQL if you put an
   oracle beside it (``oracles/README.md``).
"""

from projectors.registry import declared_in

DECLARATIONS = declared_in(
    __name__,
    "analytics_customers",
    "analytics_order_items",
    "analytics_orders",
    "analytics_products",
    "analytics_reviews",
    "comment_list_item",
    "customer_segments",
    "daily_orders",
    "following",
    "hourly_orders",
    "order_details",
    "order_list_item",
    "order_status_changes",
    "order_summary",
    "order_timeline",
    "post_list_item",
    "post_with_comments",
    "product_card",
    "product_page",
    "product_sales",
    "user_profile",
)

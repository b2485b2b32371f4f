"""The reference application's read models. To add one: write its file, and name it here.

1. Copy the file that is nearest to yours.
2. ``query``: what a row is, from ``mirror.…``, for the keys in ``affected``. Counts and sums over many rows are rollups,
   declared in the same file and read as ``rollups.…``, so that they cost what the change costs.
3. ``affected_by``: for each table or rollup the query reads, which keys a changed row touches.
4. Add it to ``DECLARATIONS``. The projector builds it from the mirror when it starts.
5. ``./readside test`` checks its laws; ``./readside verify`` compares it with the source.
"""

from projectors.read_model import Declarations
from projectors.read_models.analytics_customers import CUSTOMERS
from projectors.read_models.analytics_order_items import ORDER_ITEMS
from projectors.read_models.analytics_orders import ORDERS
from projectors.read_models.comment_list_item import COMMENT_LIST_ITEM
from projectors.read_models.daily_orders import DAILY_ORDERS
from projectors.read_models.following import FOLLOWING
from projectors.read_models.order_details import ORDER_DETAILS
from projectors.read_models.order_list_item import ORDER_LIST_ITEM
from projectors.read_models.order_timeline import ORDER_TIMELINE
from projectors.read_models.post_list_item import POST_COMMENTS, POST_LIST_ITEM
from projectors.read_models.post_with_comments import POST_WITH_COMMENTS
from projectors.read_models.product_card import PRODUCT_CARD, PRODUCT_RATINGS
from projectors.read_models.product_page import PRODUCT_PAGE, SELLER_RATINGS
from projectors.read_models.user_profile import USER_FOLLOWS, USER_ORDERS, USER_POSTS, USER_PROFILE

DECLARATIONS = Declarations(
    read_models=(
        ORDER_DETAILS,
        ORDER_LIST_ITEM,
        PRODUCT_CARD,
        PRODUCT_PAGE,
        USER_PROFILE,
        FOLLOWING,
        POST_LIST_ITEM,
        POST_WITH_COMMENTS,
        COMMENT_LIST_ITEM,
        CUSTOMERS,
        ORDERS,
        ORDER_ITEMS,
        DAILY_ORDERS,
    ),
    histories=(ORDER_TIMELINE,),
    rollups=(
        PRODUCT_RATINGS,
        SELLER_RATINGS,
        POST_COMMENTS,
        USER_POSTS,
        USER_FOLLOWS,
        USER_ORDERS,
    ),
)

"""Analytics: one row per product that was ever ordered, with what it brought in."""

from projectors.read_model import ReadModel
from projectors.rollup import Rollup

SALES_BY_PRODUCT = Rollup(
    store="analytics",
    name="sales_by_product",
    comment="One row per product: lines of orders, and what was sold by those that are not cancelled.",
    of="read_models.order_items",
    key=("product_id",),
    query="""
        select product_id,
               count(*) as lines,
               coalesce(sum(quantity) filter (order_status <> 'cancelled'), 0) as quantity,
               coalesce(sum(line_total) filter (order_status <> 'cancelled'), 0) as revenue
          from changed
         group by product_id
    """,
)

PRODUCT_SALES = ReadModel(
    store="analytics",
    name="product_sales",
    comment="One row per product that was ordered; cancelled orders count in lines, not in quantity and revenue.",
    key=("product_id",),
    columns="""
        product_id bigint not null,
        name       varchar,
        lines      bigint not null,
        quantity   bigint not null,
        revenue    decimal(18, 2) not null
    """,
    affected_by={
        "rollups.sales_by_product": "select product_id from changed",
        "products": "select id from changed",
    },
    query="""
        select s.product_id, p.name, s.lines, s.quantity, s.revenue
          from rollups.sales_by_product s
          left join mirror.products p on p.id = s.product_id
         where s.product_id in (select product_id from affected)
    """,
)

"""The question that is asked while the analytics projector is killed: it sees what is torn."""

from __future__ import annotations

import duckdb
import pytest

from stack.onlooker import LOOK

WHOLE = """
    create table orders as select 1 as id, 7 as customer_id, 'paid' as status, 2 as item_count,
        1.00::decimal(12, 2) as tax, 2.00::decimal(12, 2) as shipping, 33.00::decimal(12, 2) as total;
    create table order_items as select unnest([1, 2]) as id, 1 as order_id, 7 as customer_id, 'paid' as order_status,
        unnest([10.00, 20.00])::decimal(12, 2) as line_total;
    create table daily_orders as select 1 as orders, 0 as cancelled;
    create view _readside as select '0/100' as end_lsn;
"""


@pytest.mark.parametrize(
    ("torn", "seen"),
    [
        ("select 1", None),
        ("delete from order_items where id = 2", [1]),
        ("delete from order_items", [1]),
        ("insert into order_items select * from order_items where id = 1", [1]),
        ("update orders set total = 34", [1]),
        ("update orders set status = 'shipped'", [1]),
        ("update order_items set customer_id = 8 where id = 1", [1]),
        ("update daily_orders set orders = 2", [0]),
        ("update orders set status = 'cancelled'; update order_items set order_status = 'cancelled'", [0]),
    ],
)
def test_whatever_is_torn_is_seen(torn: str, seen: list[int] | None) -> None:
    with duckdb.connect() as database:
        database.execute(WHOLE)
        database.execute(torn)
        assert database.execute(LOOK).fetchall() == [("0/100", 1, seen)]

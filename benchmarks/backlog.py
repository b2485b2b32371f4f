"""A backlog as life makes it: many small transactions of orders placed, paid, shipped, delivered or cancelled.

Made inside the database, a transaction at a time, because what is measured begins at the change stream.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import LiteralString, cast

import psycopg

from cdc.partitions import Partition
from cdc.reader import LogReader
from config.settings import Settings

_QUIET_S = 3.0  # nothing came in for so long: the connector has sent all there is
_WAIT_S = 300.0

_ORDERS = """
do $$
declare
    buyers bigint[] := array(select id from users where status = 'active' order by id);
    goods bigint[] := array(select product_id from stock where on_hand - reserved > 1000 order by product_id);
    bought bigint;
begin
    for n in 1..{orders} loop
        insert into orders (number, user_id, currency, subtotal, tax, shipping, total, shipping_method, shipping_address,
                            estimated_delivery)
        values ('BENCH-' || gen_random_uuid(), buyers[1 + n % cardinality(buyers)], 'USD', 30, 2.4, 5, 37.4, 'standard',
                '{{"line1": "1 Bench Street", "city": "Ghent", "postal_code": "9000", "country": "BE"}}', '2027-01-01')
        returning id into bought;
        insert into order_items (order_id, product_id, sku, name, unit_price, quantity)
        select bought, p.id, p.sku, p.name, 10, 1
          from generate_series(0, 2) line
          join products p on p.id = goods[1 + (n + line) % cardinality(goods)];
        update stock
           set reserved = reserved + 1, version = version + 1
         where product_id in (select goods[1 + (n + line) % cardinality(goods)] from generate_series(0, 2) line);
        insert into payments (order_id, method, amount) values (bought, 'card', 37.4);
        commit;
        if n % 10 = 0 then
            update orders set status = 'cancelled', cancel_reason = 'bench', cancelled_by = 'customer', version = version + 1
             where id = bought;
            commit;
        else
            update orders set status = 'paid', version = version + 1 where id = bought;
            with paid as (update payments set status = 'captured' where order_id = bought returning id)
            insert into payment_transactions (payment_id, kind, amount) select id, 'capture', 37.4 from paid;
            commit;
            update orders set status = 'shipped', carrier = 'c', tracking_number = 't', version = version + 1
             where id = bought;
            commit;
        end if;
    end loop;
end $$
"""

_PEOPLE_AND_GOODS = """
insert into users (email, first_name, last_name, display_name)
select format('bench-%s@example.com', n), 'Ada', 'Byron ' || n, 'ada' || n from generate_series(1, 2000) n
    on conflict do nothing;
insert into sellers (id, name) overriding system value values (1000000000, 'Bench') on conflict do nothing;
insert into categories (id, name) overriding system value values (1000000000, 'Bench') on conflict do nothing;
insert into products (seller_id, category_id, sku, name, price, currency)
select 1000000000, 1000000000, 'BENCH-' || n, 'Thing ' || n, 10, 'USD' from generate_series(1, 1000) n
    on conflict do nothing;
insert into stock (product_id, on_hand)
select id, 1000000000 from products where sku like 'BENCH-%'
    on conflict do nothing;
"""


def prepare(settings: Settings) -> None:
    """Commit the people who buy and what they buy: 2,000 users and 1,000 products."""
    assert settings.writer_dsn is not None
    with psycopg.connect(settings.writer_dsn.get_secret_value()) as writer:
        writer.execute(_PEOPLE_AND_GOODS)


def make(settings: Settings, orders: int) -> None:
    """Commit ``orders`` orders with all that happens to them: about 12 changes in 3 transactions each."""
    assert settings.writer_dsn is not None
    with psycopg.connect(settings.writer_dsn.get_secret_value(), autocommit=True) as writer:
        writer.execute("set synchronous_commit = off")
        # A DO takes no parameter.
        writer.execute(cast("LiteralString", _ORDERS.format(orders=int(orders))))


def await_end(reader: LogReader, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """End offsets, once the connector has sent everything. Raises TimeoutError."""
    partitions = list(partitions)
    deadline, ends, since = time.monotonic() + _WAIT_S, reader.end_offsets(partitions), time.monotonic()
    while time.monotonic() - since < _QUIET_S:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the connector still sends changes after {_WAIT_S:.0f} s")
        time.sleep(0.2)
        # The transaction topic never rests: each pulse is a transaction. What counts are the rows.
        if (now := reader.end_offsets(partitions)) != ends:
            ends, since = now, time.monotonic()
    return ends

"""What can happen to the reference application's tables: statements by kind, %(a)s and %(b)s small numbers.

They are SQL, not commands of the writer: the laws hold for whatever a database allows.
"""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg

OPERATIONS: dict[str, LiteralString] = {
    "user": """insert into users (id, email, first_name, last_name, display_name, avatar_url)
               values (%(a)s, 'u%(a)s@example.com', 'Ada', 'L%(b)s', 'ada',
                       repeat('x', 300))""",
    "rename": "update users set last_name = 'R%(b)s', version = version + 1 where id = %(a)s",
    "move user": """update users set id = %(b)s + 100
                     where id = %(a)s and not exists (select from orders where user_id = %(a)s)""",
    "delete user": "delete from users where id = %(a)s",
    "follow": "insert into follows values (%(a)s, %(b)s)",
    "unfollow": "delete from follows where follower_id = %(a)s",
    "refollow": "update follows set followee_id = %(b)s where follower_id = %(a)s",
    "product": """insert into products (id, seller_id, category_id, sku, name, price, currency)
                  values (%(a)s, 1, 1, 'S%(a)s', 'P%(b)s', 1 + %(b)s, 'USD')""",
    "order": """insert into orders (id, number, user_id, currency, subtotal, tax, shipping, total, shipping_method,
                                    shipping_address, estimated_delivery)
                values (%(a)s, 'O%(a)s', %(b)s, 'USD', 5 + %(b)s, 0, 0, 5 + %(b)s, 'standard',
                        jsonb_build_object('street', repeat('x', 300)), date '2026-12-01' + %(b)s)""",
    "line": """insert into order_items (id, order_id, product_id, sku, name, unit_price, quantity)
               values (%(a)s, %(b)s, 1, 'S', 'Thing %(a)s', 2.5, 1 + %(a)s)""",
    "move line": "update order_items set order_id = %(b)s where id = %(a)s",
    "delete line": "delete from order_items where id = %(a)s",
    "pay": "update orders set status = 'paid', version = version + 1 where id = %(a)s and status = 'pending'",
    "cancel": """update orders set status = 'cancelled', cancel_reason = 'no', cancelled_by = 'me', version = version + 1
                  where id = %(a)s and status = 'pending'""",
    "payment": "insert into payments (id, order_id, method, amount) values (%(a)s, %(b)s, 'card', 5)",
    "capture": "insert into payment_transactions (id, payment_id, kind, amount) values (%(a)s, %(b)s, 'capture', 5)",
    "swap lines": """update order_items set id = case id when %(a)s then -1 else id end where id = %(a)s;
                     update order_items set id = %(a)s where id = %(b)s; update order_items set id = %(b)s where id = -1""",
    "post": "insert into posts (id, author_id, title, body, published_at) values (%(a)s, %(b)s, 't', 'b', now())",
    "truncate lines": "truncate order_items",
    "truncate all": "truncate users, orders, products cascade",
    "seller": "insert into sellers (id, name) values (%(a)s, 'Mill %(b)s')",
    "rename seller": "update sellers set name = 'Forge %(b)s' where id = %(a)s",
    "category": "insert into categories (id, name) values (%(a)s, 'Tools %(b)s')",
    "rename category": "update categories set name = name || %(b)s where id = %(a)s",
    "reprice": "update products set price = 1 + %(b)s, version = version + 1 where id = %(a)s",
    "price change": "insert into price_changes (id, product_id, old_price, new_price) values (%(a)s, %(b)s, 1, 2)",
    "stock": "insert into stock (product_id, on_hand) values (%(a)s, %(b)s)",
    "reserve": "update stock set reserved = least(on_hand, %(b)s), version = version + 1 where product_id = %(a)s",
    "relate": "insert into related_products values (%(a)s, %(b)s)",
    "review": """insert into reviews (id, product_id, user_id, rating, body)
                 values (%(a)s, %(b)s, %(a)s, %(b)s, repeat('good ', 60))""",
    "rerate": "update reviews set rating = %(b)s where id = %(a)s",
    "move review": "update reviews set product_id = %(b)s where id = %(a)s",
    "delete review": "delete from reviews where id = %(a)s",
    "swap reviews": """update reviews set id = -1 where id = %(a)s; update reviews set id = %(a)s where id = %(b)s;
                       update reviews set id = %(b)s where id = -1""",
    "comment": "insert into comments (id, post_id, author_id, body) values (%(a)s, %(b)s, %(a)s, 'Yes')",
    "delete comment": "delete from comments where id = %(a)s",
    "rewrite post": "update posts set body = repeat('b', 200 + %(b)s), version = version + 1 where id = %(a)s",
    "retitle post": "update posts set title = 'T%(b)s', version = version + 1 where id = %(a)s",
    "unpublish": "update posts set status = 'draft', published_at = null where id = %(a)s",
    "move post": "update posts set id = %(b)s + 10 where id = %(a)s",
    "delete post": "delete from posts where id = %(a)s",  # and its comments
    "tier": "update users set loyalty_tier = case %(b)s % 2 when 0 then 'gold' else 'bronze' end where id = %(a)s",
    "retotal": "update orders set subtotal = 9 + %(b)s, total = 9 + %(b)s, version = version + 1 where id = %(a)s",
    "reassign order": "update orders set user_id = %(b)s where id = %(a)s",
    "unorder": """delete from payments where order_id = %(a)s and not exists (
                    select from payment_transactions t where t.payment_id = payments.id);
                  delete from order_items where order_id = %(a)s; delete from orders where id = %(a)s""",
    "truncate reviews": "truncate reviews",
    "truncate posts": "truncate posts cascade",
}

#: What is there when a history begins, each row with columns that count as stored out of line where there are any.
SEED: LiteralString = """
    insert into sellers (id, name) values (1, 'Mill');
    insert into categories (id, name) values (1, 'Tools');
    insert into users (id, email, first_name, last_name, display_name, avatar_url)
    select n, 'u' || n || '@example.com', 'Ada', 'L' || n, 'ada', repeat('x', 300) from generate_series(1, 3) n;
    insert into products (id, seller_id, category_id, sku, name, price, currency, description)
    select n, 1, 1, 'S' || n, 'P' || n, 1 + n, 'USD', repeat('d', 300) from generate_series(1, 2) n;
    insert into orders (id, number, user_id, currency, subtotal, tax, shipping, total, shipping_method, shipping_address,
                        estimated_delivery)
    select n, 'O' || n, n, 'USD', 5 + n, 0, 0, 5 + n, 'standard', jsonb_build_object('street', repeat('x', 300)),
           date '2026-12-01'
      from generate_series(1, 2) n;
    insert into order_items (id, order_id, product_id, sku, name, unit_price, quantity)
    select n, 1 + n % 2, 1, 'S', 'Thing ' || n, 2.5, n from generate_series(1, 3) n;
    insert into payments (id, order_id, method, amount) values (1, 1, 'card', 5);
    insert into follows (follower_id, followee_id) values (1, 2), (2, 3);
    insert into posts (id, author_id, title, body, published_at) values (1, 1, 't', repeat('b', 300), now());
    insert into reviews (id, product_id, user_id, rating, body) values (1, 1, 1, 4, repeat('good ', 60));
    insert into stock (product_id, on_hand) values (1, 5);
"""


def copied_lines(connection: psycopg.Connection[Any], a: int, b: int) -> None:
    """COPY several lines of an order: rows that all carry one LSN."""
    statement = "copy order_items (id, order_id, product_id, sku, name, unit_price, quantity) from stdin"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for number in range(2 + b):
            copy.write_row((10 * a + number, b, 1, "S", f"Copied {number}", "1.50", 1 + number))

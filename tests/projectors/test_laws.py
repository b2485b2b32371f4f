"""The laws of every registered read model, over random histories: no test code per model.

1. What was kept up change by change equals what the whole mirror gives, and the mirror equals the source.
2. Delivered twice is delivered once. 3. Any interleaving that keeps partitions' order gives the same.
4. A projector that is stopped anywhere and started again loses and doubles nothing.
"""

from __future__ import annotations

import random
from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.sql import SQL, Identifier

from projectors import registry
from projectors.serving.statements import Statements
from projectors.verify import oracle_of

#: Statements by kind; %(a)s and %(b)s are small numbers. Those that a constraint refuses are left out of the history.
OPERATIONS: dict[str, str] = {
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
}

step = st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(1, 4), st.integers(1, 4))
histories = st.lists(st.lists(step, min_size=1, max_size=5), min_size=1, max_size=12)


def random_choice(chance: random.Random) -> Any:
    return lambda unread: (chance.choice(unread), chance.randint(1, 6))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, seed=st.integers(0, 2**32))
def test_serving_store_obeys_the_laws(serving, store_database, history, seed):
    run_history(serving, history, random.Random(seed))
    assert_mirror_equals_source(serving, store_database)
    assert_models_equal_a_build(serving, store_database)
    with psycopg.connect(store_database) as store:
        assert_models_equal_their_oracles(serving, "serving", lambda query: store.execute(query).fetchall())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, seed=st.integers(0, 2**32))
def test_analytics_store_obeys_the_laws(analytics, history, seed):
    run_history(analytics, history, random.Random(seed))
    store = analytics.project()
    try:
        assert_models_equal_their_oracles(
            analytics, "analytics", lambda query: store.cursor().execute(query).fetchall()
        )
    finally:
        store.close()


def run_history(pipeline, history, chance) -> None:
    pipeline.commit("truncate users, orders, products, sellers, categories cascade")
    pipeline.commit(
        "insert into sellers (id, name) values (1, 's')", "insert into categories (id, name) values (1, 'c')"
    )
    for kind, count in (("user", 4), ("product", 1), ("order", 3), ("line", 3), ("payment", 2), ("follow", 2)):
        pipeline.commit(*(statement(kind, a, a % 3 + 1) for a in range(1, count + 1)))
    for transaction in history:
        with pipeline.source.connection.transaction():
            for kind, a, b in transaction:
                try:
                    with pipeline.source.connection.transaction():
                        pipeline.sql(statement(kind, a, b))
                except psycopg.errors.IntegrityError:
                    continue
        deliver(pipeline, chance)
        if chance.random() < 0.2:
            pipeline.project(random_choice(chance)).close()
    pipeline.project(random_choice(chance)).close()


def statement(kind: str, a: int, b: int) -> str:
    return OPERATIONS[kind].replace("%(a)s", str(a)).replace("%(b)s", str(b))


def deliver(pipeline, chance) -> None:
    """Send what was committed: once, or with what a connector repeats when it starts again at its slot."""
    for transaction in pipeline.source.flush():
        if chance.random() < 0.3:  # the connector died inside this transaction, and begins some transactions earlier
            pipeline.log.send(transaction, rows=chance.randint(0, len(transaction.rows)))
            repeated = pipeline.log.transactions[-1 - chance.randint(0, 3) :]
            known = pipeline.log.transactions.index(transaction)
            for number, again in enumerate(t for t in repeated if pipeline.log.transactions.index(t) <= known):
                pipeline.log.send(again, fresh_start=number == 0)
            if transaction not in repeated:
                pipeline.log.send(transaction)
        else:
            pipeline.log.send(transaction)


def assert_mirror_equals_source(pipeline, store_dsn: str) -> None:
    with psycopg.connect(store_dsn) as store:
        for table in pipeline.tables:
            everything = SQL("select t::text from {} t order by 1")
            mirrored = store.execute(everything.format(Identifier("mirror", table.name))).fetchall()
            source = pipeline.sql(everything.format(Identifier(table.schema, table.name))).fetchall()
            assert mirrored == source, table.qualified


def assert_models_equal_their_oracles(pipeline, store: str, stored) -> None:
    """Equal to SQL on the source that shares nothing with the engine (projectors/read_models/oracles)."""
    for model in registry.load("projectors.read_models").of_store(store).read_models:
        oracle = oracle_of(model, "projectors.read_models")
        expected = pipeline.sql(oracle.expected).fetchall()
        assert sorted(map(repr, stored(oracle.stored))) == sorted(map(repr, expected)), model.name


def assert_models_equal_a_build(pipeline, store_dsn: str) -> None:
    declarations = registry.load(pipeline.models).of_store("serving")
    with psycopg.connect(store_dsn) as store:
        statements = Statements(store, pipeline.tables, declarations)
        tables = {one.reference: Identifier(*one.reference.split(".")) for one in declarations.maintained}
        kept = {name: rows_of(store, table) for name, table in tables.items()}
        for table in tables.values():
            store.execute(SQL("delete from {}").format(table))
        for declared in declarations.maintained:
            store.execute(statements.build(declared))
        for name, table in tables.items():
            assert kept[name] == rows_of(store, table), name
        store.rollback()


def rows_of(store, table) -> list[tuple[str]]:
    return store.execute(SQL("select t::text from {} t order by 1").format(table)).fetchall()

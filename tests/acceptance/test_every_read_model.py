"""A random history of commands over HTTP, several at once; then every answer of the query server equals SQL on the source.

Documents of every entity, lists of every kind with their order over all pages, searches, and what DuckDB sums up. The SQL
knows nothing of the engine or of the query server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from random import Random
from typing import Any

import pytest

from cdc.catalog import read_tables
from cdc.connector import source_dsn
from projectors.read_models import DECLARATIONS
from projectors.verification.comparing import verify
from projectors.verification.oracles import Recomputation, oracle_of_table
from stack.judge import await_stores
from stack.load import Load, Write
from stack.verification import verdicts_of
from tests.acceptance.oracle import Reader, Source
from tests.backends import Stack

COMMANDS = 2_500
SEED = 20261125

_WAYS = {
    "pending": ["pending"],
    "paid": ["pending", "paid"],
    "shipped": ["pending", "paid", "shipped"],
    "delivered": ["pending", "paid", "shipped", "delivered"],
    "cancelled": ["pending", "cancelled"],
}


@pytest.fixture(scope="module")
def history(stack: Stack) -> Iterator[tuple[Reader, Source]]:
    """The random history, come to rest in both stores."""
    stack.wait_healthy()
    with closing(Source(source_dsn(stack.settings))) as source:
        before = source.one("select coalesce(max(id), 0) from orders")
    writes: list[Write] = []

    def on_write(write: Write) -> None:
        writes.append(write)
        if len(writes) == COMMANDS:
            load.stop()

    load = Load(f"http://{stack.settings.writer_address}", seed=SEED, rate=1_000, workers=8, on_write=on_write)
    load.prepare(users=60, products=40)
    load.run(120)
    report = load.report
    assert (report.requests >= COMMANDS, report.unanswered) == (True, 0)
    assert len(report.done) >= 20, f"only these kinds of commands were carried out: {sorted(report.done)}"
    await_stores(stack.settings, 60)
    with (
        closing(Reader(stack.settings.queries_address)) as reader,
        closing(Source(source_dsn(stack.settings), orders_after=before)) as source,
    ):
        yield reader, source


def test_every_page_shows_what_the_source_says(history: tuple[Reader, Source]) -> None:
    reader, source = history
    for path, model in (
        ("/products", "product_page"),
        ("/users", "user_profile"),
        ("/posts", "post_with_comments"),
    ):
        expected = source.documents(model)
        assert len(expected) > 20
        assert {id: reader.get(f"{path}/{id}") for id in expected} == expected, path


def test_every_order_shows_what_the_source_says_and_the_way_it_went(history: tuple[Reader, Source]) -> None:
    reader, source = history
    shown = {id: reader.get(f"/orders/{id}") for id in source.statuses()}
    ways = {id: [step["status"] for step in order.pop("timeline")] for id, order in shown.items()}
    assert shown == source.documents("order_details")
    new = source.new_statuses()
    assert len(new) > 100
    assert {id: ways[id] for id in new} == {id: _WAYS[status] for id, status in new.items()}


def test_status_changes_tell_the_way_of_every_order(history: tuple[Reader, Source]) -> None:
    reader, source = history
    told = reader.sql(
        "select order_id::varchar, list(status order by end_lsn, place) from order_status_changes group by 1"
    )
    new = source.new_statuses()
    assert {id: way for id, way in told if id in new} == {id: _WAYS[status] for id, status in new.items()}


def test_lists_of_orders_in_their_order(history: tuple[Reader, Source]) -> None:
    reader, source = history
    assert reader.all("/orders") == reader.all("/orders", limit=17) == source.orders()
    for status in _WAYS:
        assert reader.all("/orders", status=status) == source.orders("o.status = %(status)s", status=status), status
    for user in source.ids("users"):
        listed = source.orders("o.user_id = %(user)s", user=user)
        assert reader.all(f"/users/{user}/orders", limit=3) == listed, user
    buyer = source.one("select user_id from orders group by user_id order by count(*) desc limit 1")
    for status in _WAYS:
        listed = source.orders("o.user_id = %(user)s and o.status = %(status)s", user=buyer, status=status)
        assert reader.all(f"/users/{buyer}/orders", status=status) == listed, status


def test_searches_find_what_has_every_word(history: tuple[Reader, Source]) -> None:
    reader, source = history
    random = Random(SEED)
    words = source.one(
        """
        select array_agg(distinct word)
          from (select regexp_split_to_table(concat_ws(' ', u.first_name, u.last_name, i.name), ' ') as word
                  from orders o join users u on u.id = o.user_id join order_items i on i.order_id = o.id) words
         where word ~ '^[[:alpha:]]+$'
        """
    )
    searches = [*random.sample(words, 12), *(word[: random.randint(2, 4)] for word in random.sample(words, 12))]
    searches += [f"{a} {b}" for a, b in zip(random.sample(words, 12), random.sample(words, 12), strict=True)]
    several = 0
    for search in searches:
        expected = source.found(search)
        several += len(expected) > 0
        if expected:  # otherwise what is spelled nearly so may be shown
            assert reader.all("/orders", search=search) == expected, search
    assert several > 20
    number = source.one("select number from orders order by id desc limit 1")
    assert reader.all("/orders", search=number) == source.found(number)


def test_lists_of_products_in_every_order(history: tuple[Reader, Source]) -> None:
    reader, source = history
    for sort in ("rating", "price", "newest"):
        assert reader.all("/products", sort=sort, limit=7) == source.products(sort), sort
        for category in source.ids("categories"):
            listed = source.products(sort, category)
            assert reader.all("/products", sort=sort, category=category, limit=7) == listed, (sort, category)


def test_posts_feeds_and_comments_in_their_order(history: tuple[Reader, Source]) -> None:
    reader, source = history
    assert reader.all("/posts", limit=7) == source.posts()
    fed = 0
    for user in source.ids("users"):
        written = source.posts("author_id = %(user)s", user=user)
        assert reader.all(f"/users/{user}/posts", limit=3) == written, user
        assert reader.all("/posts", author_id=user) == written, user
        feed = source.feed(user)
        fed += len(feed) > 1
        assert reader.all(f"/users/{user}/feed", limit=1) == feed, user
    assert fed > 5
    for post in source.documents("post_with_comments"):
        assert reader.all(f"/posts/{post}/comments", limit=3) == source.comments(post), post


def test_analytics_sum_up_what_the_source_holds(history: tuple[Reader, Source]) -> None:
    reader, source = history
    first, last = source.one("select array[min(placed_at), max(placed_at)] from orders")
    third = (last - first) / 3
    for start, end in ((None, None), (first + third, None), (None, last), (first + third, last - third), (last, last)):
        asked = {name: at.isoformat() for name, at in (("start", start), ("end", end)) if at is not None}
        summary: dict[str, Any] = reader.get("/analytics/orders/summary", **asked)
        expected = source.summary((start, end))
        assert {name: summary[name] for name in expected} == expected, asked
        assert summary.keys() == expected.keys() | {"start", "end", "currency"}
        assert reader.get("/analytics/orders/hourly", **asked)["by_hour"] == source.hours((start, end)), asked


def test_every_row_of_every_store_is_what_the_source_says(history: object, stack: Stack) -> None:
    settings = stack.settings
    models, tables = DECLARATIONS.read_models, read_tables(source_dsn(settings), settings.publication)
    verdicts = [
        *verdicts_of(settings),
        *(verify(settings, Recomputation(model)) for model in models),
        *(verify(settings, oracle_of_table(table)) for table in tables),
    ]
    assert len(verdicts) == 2 * len(models) + len(tables)
    assert all(verdict.rows for verdict in verdicts)
    assert [verdict for verdict in verdicts if verdict.differences] == []

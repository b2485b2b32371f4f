"""The page of a product as one statement on the write database, served over HTTP as the query server serves its own.

``python -m benchmarks.join HOST PORT`` (settings from the environment) answers ``GET /products/{id}`` with the document that
the read model holds, from a pool of as many connections as the query server has, until it is told to stop. Nothing but HTTP
and the statement is in the way: no tokens, no metrics, no framework.
"""

from __future__ import annotations

import asyncio
import queue
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, LiteralString

import httpx
import psycopg

from benchmarks.catalogue import BASE
from config.environment import environment_of
from config.serving import serve
from config.settings import Settings
from stack.ports import free

_START_S = 30.0

PAGE: LiteralString = """
    select jsonb_build_object(
             'id', p.id::text,
             'sku', p.sku,
             'name', p.name,
             'description', p.description,
             'image_url', p.image_url,
             'category', k.name,
             'category_id', k.id::text,
             'price', p.price::text,
             'currency', p.currency,
             'in_stock', coalesce(s.on_hand - s.reserved, 0) > 0,
             'available', coalesce(s.on_hand - s.reserved, 0),
             'average_rating', r.average_rating,
             'review_count', r.review_count,
             'rating_histogram', r.histogram,
             'latest_reviews', coalesce(l.reviews, '[]'),
             'seller', jsonb_build_object(
               'id', v.id::text,
               'name', v.name,
               'reputation', w.reputation,
               'review_count', w.review_count,
               'product_count', w.product_count),
             'related', coalesce(n.related, '[]'),
             'price_history', coalesce(h.prices, '[]'),
             'version', p.version)::text
      from products p
      join sellers v on v.id = p.seller_id
      join categories k on k.id = p.category_id
      left join stock s on s.product_id = p.id
     cross join lateral (
        select count(*) as review_count, round(avg(rating), 2) as average_rating,
               jsonb_build_object(
                 '1', count(*) filter (where rating = 1),
                 '2', count(*) filter (where rating = 2),
                 '3', count(*) filter (where rating = 3),
                 '4', count(*) filter (where rating = 4),
                 '5', count(*) filter (where rating = 5)) as histogram
          from reviews
         where product_id = p.id) r
     cross join lateral (
        select count(e.id) as review_count, round(avg(e.rating), 2) as reputation,
               (select count(*) from products where seller_id = p.seller_id) as product_count
          from products o
          join reviews e on e.product_id = o.id
         where o.seller_id = p.seller_id) w
     cross join lateral (
        select jsonb_agg(
                 jsonb_build_object(
                   'id', e.id::text,
                   'author', jsonb_build_object('id', u.id::text, 'display_name', u.display_name),
                   'rating', e.rating,
                   'body', e.body,
                   'created_at', to_char(e.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
                 order by e.created_at desc, e.id desc) as reviews
          from (select id, user_id, rating, body, created_at
                  from reviews
                 where product_id = p.id
                 order by created_at desc, id desc
                 limit 5) e
          join users u on u.id = e.user_id) l
     cross join lateral (
        select jsonb_agg(
                 jsonb_build_object(
                   'id', o.id::text,
                   'name', o.name,
                   'price', o.price::text,
                   'average_rating', (select round(avg(rating), 2) from reviews where product_id = o.id))
                 order by o.id) as related
          from related_products b
          join products o on o.id = b.related_id
         where b.product_id = p.id) n
     cross join lateral (
        select jsonb_agg(
                 jsonb_build_object(
                   'at', to_char(c.changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                   'price', c.new_price::text)
                 order by c.changed_at desc, c.id desc) as prices
          from (select id, changed_at, new_price
                  from price_changes
                 where product_id = p.id
                 order by changed_at desc, id desc
                 limit 30) c) h
     where p.id = %(id)s
"""


@contextmanager
def joining(settings: Settings) -> Generator[str]:
    """The server runs while the block does; its address."""
    address = f"127.0.0.1:{free()[0]}"
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.join", *address.split(":")], env=environment_of(settings)
    )
    try:
        _await_answer(f"http://{address}/products/{BASE}")
        yield address
    finally:
        child.terminate()
        child.wait(10)


def _await_answer(url: str) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False, timeout=_START_S).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(f"the server of the join did not answer within {_START_S:.0f} s")


class _Pages:
    """ASGI application: a thread per connection to the database, and a request on each."""

    def __init__(self, settings: Settings) -> None:
        assert settings.writer_dsn is not None
        size = settings.queries_connections
        self._connections: queue.SimpleQueue[psycopg.Connection[Any]] = queue.SimpleQueue()
        for _ in range(size):
            self._connections.put(psycopg.connect(settings.writer_dsn.get_secret_value(), autocommit=True))
        self._threads = ThreadPoolExecutor(size)

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        id = int(scope["path"].rpartition("/")[2])
        page = await asyncio.get_running_loop().run_in_executor(self._threads, self._page, id)
        status, body = (404, b"") if page is None else (200, page.encode())
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _page(self, id: int) -> str | None:
        connection = self._connections.get()
        try:
            row = connection.execute(PAGE, {"id": id}, prepare=True).fetchone()
        finally:
            self._connections.put(connection)
        return row[0] if row else None


def main() -> None:
    """Serve until told to stop."""
    host, port = sys.argv[1:]
    serve(_Pages(Settings()), host, int(port), graceful_s=1)


if __name__ == "__main__":
    main()

"""A shop's catalogue for ``bench product-page``: 20,000 products of 200 sellers, 1,000,000 reviews by 50,000 users.

Made inside the write database, set by set, with ids from ``BASE`` on that no sequence reaches; every choice is a hash of a
row's number, so each run has the same rows. Popularity falls with a product's number n as n^(-2/3), within the exponents of
0.64 to 0.83 that traces of the web's requests show (Breslau et al., INFOCOM 1999): the first product has 36,840 reviews, the
middle one 26, the last 17. Reviews come by seller, some hundred thousand to a transaction. What is there already is kept,
so a second run on the same data directory measures at once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import LiteralString

import psycopg

from config.settings import Settings

BASE = 3_000_000_000
PRODUCTS = 20_000
SELLERS = 200
REVIEWS = 1_000_000
USERS = 50_000
SKEW = 3  #: a product drawn as PRODUCTS * u^3, u even between 0 and 1, is drawn by its popularity
_CATEGORIES = 40
_PARTS = 10  # transactions that the reviews come in
_WAIT_S = 300.0
_LOOK_S = 0.1

# Users, then products with all that belongs to them, are a transaction each.
_PEOPLE: LiteralString = """
    insert into users (id, email, first_name, last_name, display_name)
    select %(base)s + n, format('page-%%s@example.com', n), 'Ada', 'Byron ' || n, 'ada' || n
      from generate_series(0, %(users)s - 1) n
        on conflict do nothing
"""
_GOODS: tuple[LiteralString, ...] = (
    """
    insert into sellers (id, name)
    select %(base)s + n, 'Seller ' || n from generate_series(0, %(sellers)s - 1) n
        on conflict do nothing
    """,
    """
    insert into categories (id, name)
    select %(base)s + n, 'Category ' || n from generate_series(0, %(categories)s - 1) n
        on conflict do nothing
    """,
    """
    insert into products (id, seller_id, category_id, sku, name, description, image_url, price, currency, created_at)
    select %(base)s + n, %(base)s + n %% %(sellers)s, %(base)s + n %% %(categories)s, 'PAGE-' || n, 'Thing number ' || n,
           repeat(format('What thing %%s is made of, and how it is used. ', n), 12), format('/images/%%s.jpg', n),
           10 + (hashint4(n) & 65535) / 100.0, 'USD', timestamptz '2025-01-01' + n * interval '1 minute'
      from generate_series(0, %(products)s - 1) n
        on conflict do nothing
    """,
    """
    insert into stock (product_id, on_hand, reserved)
    select %(base)s + n, 3 + (hashint4(n) & 63), hashint4(n) & 3 from generate_series(0, %(products)s - 1) n
        on conflict do nothing
    """,
    """
    insert into related_products (product_id, related_id)
    select %(base)s + n, %(base)s + (n + apart) %% %(products)s
      from generate_series(0, %(products)s - 1) n, unnest(array[1, 17, 211, 4099]) apart
        on conflict do nothing
    """,
    """
    insert into price_changes (id, product_id, old_price, new_price, changed_at)
    select %(base)s + n * 50 + age, p.id, p.price + (age + 1) * 0.10, p.price + age * 0.10,
           timestamptz '2026-06-01' - age * interval '5 days' + n * interval '1 second'
      from generate_series(0, %(products)s - 1) n
      join products p on p.id = %(base)s + n
     cross join generate_series(0, case when n %% 50 = 7 then 39 else (hashint4(n) & 7) - 1 end) age
        on conflict do nothing
    """,
)
# Product n has the reviews from `first` on, up to those of the next; the stride, prime to the users' number, gives each
# of them another author.
_REVIEWS: LiteralString = """
    insert into reviews (id, product_id, user_id, rating, body, created_at)
    select %(base)s + r, %(base)s + n, %(base)s + (n * 31 + (r - first) * 7919) %% %(users)s,
           1 + least(4, (hashint8(r) & 15) / 2),
           'Used it for weeks, and would buy it again: ' || md5(r::text) || md5(n::text),
           timestamptz '2026-06-01' + (hashint8(r) & 33554431) * interval '0.3 seconds'
      from (select n, floor(%(reviews)s * cbrt(n::float8 / %(products)s))::bigint as first,
                   floor(%(reviews)s * cbrt((n + 1)::float8 / %(products)s))::bigint as next
              from generate_series(0, %(products)s - 1) n
             where n %% %(sellers)s %% %(parts)s = %(part)s) p
     cross join generate_series(first, next - 1) r
        on conflict do nothing
"""
_THERE: LiteralString = "select count(*) from reviews where id >= %(base)s and id < %(base)s + %(reviews)s"
_SIZES = {
    "base": BASE,
    "users": USERS,
    "sellers": SELLERS,
    "categories": _CATEGORIES,
    "products": PRODUCTS,
    "reviews": REVIEWS,
    "parts": _PARTS,
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """How the catalogue came into the serving store; zeros where it was there before."""

    rows: int
    written_s: float
    readable_s: float

    @property
    def figures(self) -> Mapping[str, float | int | str]:
        """As figures of the result."""
        return {
            "loaded_rows": self.rows,
            "load_written_s": self.written_s,
            "load_readable_s": self.readable_s,
            "load_rows_per_s": self.rows / self.readable_s if self.readable_s else 0,
        }


def load(settings: Settings) -> Loaded:
    """Commit what is missing of the catalogue, and wait until the serving store shows it."""
    assert settings.writer_dsn is not None
    began, rows = time.monotonic(), 0
    with psycopg.connect(settings.writer_dsn.get_secret_value()) as writer:
        there = writer.execute(_THERE, _SIZES).fetchone()
        if there == (REVIEWS,):
            return Loaded(0, 0.0, 0.0)
    parts = [_SIZES | {"part": part} for part in range(_PARTS)]
    transactions: list[tuple[tuple[LiteralString, ...], Mapping[str, int]]] = [
        ((_PEOPLE,), _SIZES),
        (_GOODS, _SIZES),
        *(((_REVIEWS,), part) for part in parts),
    ]
    for statements, sizes in transactions:
        with psycopg.connect(settings.writer_dsn.get_secret_value()) as writer:
            rows += sum(writer.execute(statement, sizes).rowcount for statement in statements)
    written_s = time.monotonic() - began
    await_readable(settings)
    return Loaded(rows, written_s, time.monotonic() - began)


def await_readable(settings: Settings) -> None:
    """Return once the serving store stands at the write database's position of now."""
    assert settings.writer_dsn is not None and settings.serving_dsn is not None
    with psycopg.connect(settings.writer_dsn.get_secret_value()) as writer:
        position = writer.execute("select pg_current_wal_insert_lsn()").fetchone()
    assert position is not None
    reached = "select 1 from readside.checkpoint where store = 'serving' and end_lsn >= %(lsn)s"
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        with psycopg.connect(settings.serving_dsn.get_secret_value()) as store:
            if store.execute(reached, {"lsn": position[0]}).fetchone():
                return
        time.sleep(_LOOK_S)
    raise TimeoutError(f"the serving store did not show the catalogue within {_WAIT_S:.0f} s; see `readside status`")

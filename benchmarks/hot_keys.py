"""``bench hot-keys``: 1,000 changes on a group of 1,000,000 rows, beside the same 1,000 on a group of 10.

What is timed is the serving store applying whole source transactions (mirror, rollups, read models, checkpoint, commit), in
a database of its own on a real PostgreSQL; without Kafka, whose records cost the same whatever group they belong to. Two
kinds of group lie among 100,000 rows of other groups each: followers of a user (the registered *user profile*), and reviews
of a product (average, histogram, first, best and latest five, and its seller's reputation). A round is 400 rows that come,
200 of them that change, and 400 that go, each in a transaction of its own, applied in batches of 1, 10, 100 or 400; so the
small group has between 10 and 410 rows. Rounds on the two groups alternate, and the medians of one run are compared.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg

from benchmarks.database import database
from benchmarks.ratings import DECLARATIONS
from benchmarks.result import Result
from benchmarks.stored import fill
from cdc.assembler import Transaction
from cdc.change import Change, Op
from config.settings import Settings
from projectors.checkpoint import Checkpoint
from projectors.run import captured_shapes, captured_tables
from projectors.serving.store import ServingStore

#: The components of the stack that it needs.
NEEDS = "postgres"

GOAL = 1.5
_HOT, _SMALL = 1, 2  # the groups' keys: 1,000,000 rows and 10
_ROWS, _CHANGED = 400, 200
_BATCHES = (1, 10, 100, 400)
_ROUNDS = 9
_DATABASE = "bench_hot_keys"
_FILL = """
    insert into mirror.users (id, email, first_name, last_name, display_name, loyalty_tier, status, version, created_at,
                              updated_at)
    select n, n || '@example.com', 'Ada', 'L', 'ada', 'bronze', 'active', 1, now(), now() from generate_series(1, 20000) n;
    insert into mirror.products (id, seller_id, category_id, sku, name, description, price, currency, version, created_at)
    select n, least(n, 3), 1, 'S' || n, 'P', '', 1, 'USD', 1, now() from generate_series(1, 10000) n;
    insert into mirror.follows (follower_id, followee_id, created_at)
    select 1000000 + n, case when n < 1000000 then 1 else 2 + (n - 1000000) / 10 end, now()
      from generate_series(0, 1099989) n;
    insert into mirror.reviews (id, product_id, user_id, rating, body, created_at)
    select n, case when n < 1000000 then 1 else 2 + (n - 1000000) / 10 end, 1000000 + n, 1 + n % 5,
           'Ten letters and some more', timestamptz '2020-01-01' + n * interval '1 second'
      from generate_series(0, 1099989) n;
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """A kind of rows that come in groups."""

    name: str
    table: str
    check: LiteralString  #: selects what is kept and what counting gives, for some groups


SUBJECTS = (
    Subject(
        "followers",
        "public.follows",
        """
        select document->>'follower_count', (select count(*)::text from mirror.follows where followee_id = p.id)
          from read_models.user_profile p
         where id between 1 and 500
        """,
    ),
    Subject(
        "reviews",
        "public.reviews",
        """
        select row(reviews, stars, (document->>'average')::numeric)::text,
               (select row(count(*), sum(rating), round(avg(rating), 2))::text from mirror.reviews where product_id = p.id)
          from read_models.bench_product p
         where id between 1 and 500
        """,
    ),
)


def run(settings: Settings) -> Result:
    """Measure on a PostgreSQL server that may be used by others."""
    tables = captured_tables(settings)
    shapes = captured_shapes(settings, tables)
    figures: dict[str, float | int | str] = {}
    ratios: dict[str, float] = {}
    with database(settings, _DATABASE) as dsn:
        figures["build_s"] = fill(dsn, tables, shapes, DECLARATIONS, _FILL)
        store = ServingStore(dsn, tables, DECLARATIONS, shapes=shapes)
        feed = Feed(store, store.open())
        for subject in SUBJECTS:
            for size in _BATCHES:
                hot, small = _measure(feed, subject, size)
                name = f"{subject.name}_batch_{size}"
                ratios[f"{name}_ratio"] = hot / small
                figures |= {f"{name}_hot_ms": hot, f"{name}_small_ms": small, f"{name}_ratio": hot / small}
            _check(dsn, subject)
        store.close()
    goals = {name: (ratio, GOAL, ratio <= GOAL) for name, ratio in ratios.items()}
    return Result(name="hot-keys", figures=figures, goals=goals)


@dataclass(slots=True)
class Feed:
    """Source transactions on their way into an open store."""

    store: ServingStore
    checkpoint: Checkpoint
    _transactions: int = field(default=0)

    def round_ms(self, subject: Subject, group: int, size: int) -> float:
        """Milliseconds for one round on one group, in batches of this size."""
        transactions = [self._transaction(change) for change in _round(subject, group)]
        batches = [transactions[begin : begin + size] for begin in range(0, len(transactions), size)]
        began = time.perf_counter()
        for batch in batches:
            self.checkpoint = _after(self.checkpoint, batch)
            self.store.apply(batch, self.checkpoint)
        return (time.perf_counter() - began) * 1000

    def _transaction(self, change: Change) -> Transaction:
        self._transactions += 1
        return Transaction(
            xid=self._transactions,
            end_lsn=1_000 + self._transactions,
            committed_us=time.time_ns() // 1000,
            changes=(change,),
        )


def _measure(feed: Feed, subject: Subject, size: int) -> tuple[float, float]:
    times: dict[int, list[float]] = {_HOT: [], _SMALL: []}
    for number in range(_ROUNDS + 1):
        # Each goes first as often as the other; the first round of all warms up.
        for group in (_HOT, _SMALL) if number % 2 else (_SMALL, _HOT):
            took = feed.round_ms(subject, group, size)
            if number:
                times[group].append(took)
    return statistics.median(times[_HOT]), statistics.median(times[_SMALL])


def _round(subject: Subject, group: int) -> list[Change]:
    rows = range(1, _ROWS + 1)
    return [
        *(_change(subject, "c", group, row) for row in rows),
        *(_change(subject, "u", group, row) for row in rows[:_CHANGED]),
        *(_change(subject, "d", group, row) for row in rows),
    ]


def _change(subject: Subject, op: Op, group: int, number: int) -> Change:
    at = "2026-01-02T00:00:00Z" if op == "u" else "2026-01-01T00:00:00Z"
    if subject.table == "public.follows":
        key: dict[str, object] = {"follower_id": 100 + number, "followee_id": group}
        row = key | {"created_at": at}
    else:
        key = {"id": 2_000_000 + number}
        rating = 2 if op == "u" else 5
        row = key | {"product_id": group, "user_id": number, "rating": rating, "body": "Good as new", "created_at": at}
    return Change(
        table=subject.table,
        op=op,
        key=json.dumps(key).encode(),
        row=None if op == "d" else json.dumps(row).encode(),
        partial=False,
        old_key=None,
        xid=1,
        order=1,
        lsn=1,
        previous_end=None,
        committed_us=0,
    )


def _after(before: Checkpoint, batch: Sequence[Transaction]) -> Checkpoint:
    return Checkpoint(
        phase="streaming",
        end_lsn=batch[-1].end_lsn,
        committed_us=batch[-1].committed_us,
        changes=before.changes + len(batch),
        rate=0.0,
        state={},
    )


def _check(dsn: str, subject: Subject) -> None:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(subject.check).fetchall()
    if not rows or any(kept != counted for kept, counted in rows):
        raise RuntimeError(f"what is kept of {subject.name} is not what counting gives")

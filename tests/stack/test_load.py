"""The load: what it says it did is what the database holds, and it notices what a writer must not answer."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr

from config.environment import environment_of
from config.settings import Settings
from stack import activity, traffic
from stack.load import Load, Pace, UnexpectedAnswer, Write
from stack.ports import free
from stack.process import spawn, stop, tail
from stack.shop import Order, Pool, Product, Shop, User
from tests.databases import Postgres, eventually


@pytest.fixture
def writer(postgres: Postgres, shop_database: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a writer on the test's write database."""
    database = conninfo_to_dict(shop_database)["dbname"]
    settings = Settings(
        data_dir=tmp_path,
        writer_address=f"127.0.0.1:{free()[0]}",
        writer_dsn=SecretStr(postgres.dsn(str(database), "shop_writer")),
    )
    url, log = f"http://{settings.writer_address}", tmp_path / "writer.log"
    process = spawn([sys.executable, "-m", "writer"], log=log, cwd=tmp_path, env=environment_of(settings))
    try:
        eventually(lambda: ready(process, url), what=lambda: f"the writer starts: {tail(log)}")
        yield url
    finally:
        stop(process)


def ready(process: subprocess.Popen[bytes], url: str) -> bool:
    assert process.poll() is None
    try:
        return httpx.get(f"{url}/readyz").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def teapot() -> Iterator[str]:
    """The URL of a writer that answers every command with a status no command has."""

    class Teapot(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(418)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Teapot) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_it_says_it_did_is_what_the_database_holds(writer: str, shop_database: str) -> None:
    load = Load(writer, seed=1, rate=200, workers=4)
    load.prepare(users=20, products=10)
    load.run(3)
    done = load.report.done
    with psycopg.connect(shop_database) as db:
        held = db.execute(
            """
            select (select count(*) from users) as users,
                   (select count(*) from products) as products,
                   (select count(*) from price_changes) as prices,
                   (select count(*) from orders) as orders,
                   (select count(*) from payment_transactions) as payments,
                   (select count(*) from reviews) as reviews,
                   (select count(*) from posts) as posts,
                   count(*) filter (where status = 'cancelled') as cancelled,
                   count(*) filter (where status in ('shipped', 'delivered')) as shipped,
                   count(*) filter (where status = 'delivered') as delivered
              from orders
            """
        ).fetchone()
    assert held == (
        done["register_user"],
        done["offer_product"],
        done["change_price"],
        done["place_order"],
        done["pay_order"],
        done["review_product"] - done["withdraw_review"],
        done["write_post"] - done["delete_post"],
        done["cancel_order"],
        done["ship_order"],
        done["deliver_order"],
    )
    assert done["deliver_order"] > 0
    assert load.report.unanswered == 0


def test_each_success_is_told_with_its_token_and_what_it_changed(writer: str, shop_database: str) -> None:
    writes: list[Write] = []
    load = Load(writer, seed=2, rate=200, workers=4, on_write=writes.append)
    load.prepare(users=5, products=5)
    load.run(1)
    assert Counter(write.kind for write in writes) == load.report.done
    assert all(write.token.startswith("v1.") for write in writes)
    placed = {write.id for write in writes if write.kind == "place_order"}
    with psycopg.connect(shop_database) as db:
        assert placed == {str(id) for (id,) in db.execute("select id from orders")}


def test_it_keeps_its_rate(writer: str) -> None:
    load = Load(writer, seed=3, rate=50, workers=4)
    load.prepare(users=5, products=5)
    before = load.report.requests
    load.run(2)
    assert load.report.requests - before == pytest.approx(100, abs=10)


def test_stop_ends_a_run_early(writer: str) -> None:
    load = Load(writer, seed=4, rate=50, workers=2)
    load.prepare(users=5, products=5)
    running = threading.Thread(target=load.run, args=[3600])
    running.start()
    eventually(lambda: load.report.done["place_order"] > 0, what="orders are placed")
    load.stop()
    running.join(20)
    assert not running.is_alive()


def test_an_answer_that_the_command_does_not_allow_ends_it(teapot: str) -> None:
    with pytest.raises(UnexpectedAnswer, match="register_seller: POST /sellers was answered 418"):
        Load(teapot, seed=5, rate=100, workers=2).prepare(users=1, products=1)


def test_a_writer_that_is_away_is_counted_and_not_an_error() -> None:
    load = Load(f"http://127.0.0.1:{free()[0]}", seed=6, rate=100, workers=2)
    load.prepare(users=3, products=0)
    assert load.report.unanswered >= 3
    assert load.report.done.total() == 0


def test_the_same_seed_does_the_same() -> None:
    assert commands(seed=7) == commands(seed=7) != commands(seed=8)


def test_the_pace_makes_up_for_a_short_delay_and_forgets_a_long_one() -> None:
    now = 0.0
    pace = Pace(rate=10, clock=lambda: now)
    assert [round(pace.next(), 3) for _ in range(3)] == [0.1, 0.2, 0.3]
    now = 0.5
    assert [round(pace.next(), 3) for _ in range(3)] == [0.0, 0.0, 0.1]
    now = 100.0
    due = [pace.next() for _ in range(20)]
    assert [round(delay, 3) for delay in due if delay] == [round(0.1 * n, 3) for n in range(1, 10)]


def commands(seed: int) -> list[tuple[str, Mapping[str, Any] | None]]:
    """The first commands of a worker with this seed, in a small shop where everything succeeds."""
    shop = Shop(users=filled(User, version=1), products=filled(Product, version=1, cents=1000))
    sent: list[tuple[str, Mapping[str, Any] | None]] = []

    def send(
        kind: str, method: str, path: str, body: Mapping[str, Any] | None, allowed: frozenset[int]
    ) -> traffic.Answer:
        sent.append((f"{method} {path}", without_names(body)))
        return {"id": str(len(sent)), "version": 2}

    worker = traffic.Worker(shop=shop, random=Random(seed), send=send)
    for _ in range(100):
        activity.act(worker)
    return sent


def filled(kind: type[Any], **fields: int) -> Pool[Any]:
    pool = Pool[Any]()
    for number in range(10):
        pool.give(kind(id=str(number), **fields))
    return pool


def without_names(body: Mapping[str, Any] | None) -> dict[str, Any]:
    """A body without what is unlike in every run."""
    return {key: value for key, value in (body or {}).items() if key not in {"email", "sku"}}


def test_a_thing_that_is_taken_is_nobody_elses() -> None:
    pool = filled(Order, version=1)
    random = Random(9)
    taken = [pool.take(random) for _ in range(11)]
    assert len({order.id for order in taken if order}) == 10
    assert taken[-1] is None

"""What verification asks of the analytics store, whose answers have limits and which says itself what is parked."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cdc.errors import Fatal
from config.settings import Settings
from projectors.analytics.server import serving as serving_endpoint
from projectors.read_models import DECLARATIONS
from projectors.verification import results
from projectors.verification.comparing import compare
from projectors.verification.oracles import Recomputation, oracle_of
from projectors.verification.reconciler import Reconciler
from projectors.verification.sides import Analytics, Ranges, Sides, Source
from stack.ports import free
from tests.projectors.test_snapshots import given_a_shop
from tests.shop import Shop

MODELS = [model for model in DECLARATIONS.read_models if model.name in ("orders", "products")]


@contextmanager
def answering(settings: Settings, store: Any) -> Generator[Analytics]:
    """The store's side of a comparison, over its endpoint."""
    with (
        serving_endpoint(settings, store),
        httpx.Client(base_url=f"http://{settings.analytics_address}", timeout=30, trust_env=False) as client,
    ):
        yield Analytics(client)


def test_what_is_parked_there_is_left_out(analytics: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    given_a_shop(analytics)
    analytics.parked_on_change = ("public.users",)
    analytics.alter("alter table users alter column last_name type varchar(300)")
    analytics.commit("update orders set status = 'paid', version = version + 1 where id = 1")
    analytics.project_until_done()
    settings = Settings(analytics_address=f"127.0.0.1:{free()[0]}")
    noted: list[str] = []
    monkeypatch.setattr(results, "note", lambda _store, verdict: noted.append(verdict.model))
    reconciler = Reconciler(settings, threading.Event())
    monkeypatch.setattr(reconciler, "_due", lambda: MODELS)
    with closing(analytics.project()) as store, answering(settings, store) as side:
        sides = Sides(None, {"analytics": side})  # pyright: ignore[reportArgumentType]
        assert [compare(sides, Recomputation(model)).differences for model in MODELS] == [1, 0]
        assert reconciler._models(sides, None, ()) == []  # pyright: ignore[reportArgumentType]
        assert (noted, "orders" in store.incomplete) == (["products"], True)


def test_rows_beyond_the_limit_of_an_answer_are_read_and_counted(shop_database: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, analytics_address=f"127.0.0.1:{free()[0]}", sql_rows=20)
    (model,) = [model for model in DECLARATIONS.read_models if model.name == "customers"]
    oracle = oracle_of(model, "projectors.read_models")
    assert oracle is not None
    with (
        closing(Shop(shop_database, tmp_path, DECLARATIONS.of_store("analytics"))) as shop,
        answering(settings, shop.store) as side,
    ):
        with shop.committing():
            shop.source.execute("""
                insert into users (id, email, first_name, last_name, display_name)
                select n, n || '@e.com', 'A', 'B', 'c' from generate_series(6, 90) n
            """)
        everything = Ranges([f"{number:02x}" for number in range(256)])
        assert side.rows(oracle, everything) == Source(shop.source).rows(oracle, everything)[0]
        shop.store.cursor().execute("update customers set email = 'x'")
        sides = Sides(Source(shop.source), {"analytics": side})
        assert compare(sides, Recomputation(model)).differences == 90
        with pytest.raises(Fatal, match=r"cut off after 20 rows.*READSIDE_SQL_ROWS"):
            compare(sides, oracle)

"""What verification asks of the analytics store, whose answers have limits and which says itself what is parked."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from config.settings import Settings
from projectors.analytics.server import serving as serving_endpoint
from projectors.read_models import DECLARATIONS
from projectors.verification import results
from projectors.verification.comparing import compare
from projectors.verification.oracles import Recomputation
from projectors.verification.reconciler import Reconciler
from projectors.verification.sides import Analytics, Sides
from stack.ports import free
from tests.projectors.test_snapshots import given_a_shop

MODELS = [model for model in DECLARATIONS.read_models if model.name in ("orders", "products")]


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
    store = analytics.project()
    with (
        serving_endpoint(settings, store),
        httpx.Client(base_url=f"http://{settings.analytics_address}", timeout=30, trust_env=False) as client,
    ):
        sides = Sides(None, {"analytics": Analytics(client)})  # pyright: ignore[reportArgumentType]
        assert [compare(sides, Recomputation(model)).differences for model in MODELS] == [1, 0]
        assert reconciler._models(sides, None, ()) == []  # pyright: ignore[reportArgumentType]
        assert (noted, "orders" in store.incomplete) == (["products"], True)
    store.close()

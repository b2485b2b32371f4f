"""The analytics projector's endpoint, begun again and again in one process, as a projector that begins anew does."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest

from cdc.errors import Transient
from config.settings import Settings
from projectors.analytics.server import serving
from projectors.analytics.store import AnalyticsStore
from stack.ports import free


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, analytics_address=f"127.0.0.1:{free()[0]}")


def position(settings: Settings) -> str:
    return httpx.get(f"http://{settings.analytics_address}/state", timeout=10).json()["end_lsn"]


def test_an_address_that_is_taken_for_a_moment_is_not_given_up_for_ever(
    settings: Settings, store: AnalyticsStore
) -> None:
    host, _, port = settings.analytics_address.rpartition(":")
    with (
        socket.create_server((host, int(port))),
        pytest.raises(Transient, match=r"the analytics endpoint cannot listen on 127\.0\.0\.1:.* in use"),
        serving(settings, store),
    ):
        pass
    with serving(settings, store):
        assert position(settings) == "0/0"


def test_it_answers_as_soon_as_it_has_begun_anew(settings: Settings, store: AnalyticsStore) -> None:
    for _ in range(3):
        with serving(settings, store):
            pass  # broken off before the server has started
        with serving(settings, store):
            assert position(settings) == "0/0"


def test_a_statement_that_is_not_there_is_named(settings: Settings, store: AnalyticsStore) -> None:
    def ask(name: str, body: dict[str, object]) -> tuple[int, dict[str, object]]:
        answer = httpx.post(f"http://{settings.analytics_address}/statements/{name}", json=body, timeout=10)
        return answer.status_code, answer.json()

    with serving(settings, store):
        status, problem = ask("orders", {})
        assert (status, problem["type"]) == (404, "/problems/unknown-statement")
        assert problem["detail"] == "there is no statement orders; there are orders_summary, orders_hourly"
        assert ask("orders_summary", {"sql": "select 1"})[0] == 400
        assert ask("orders_summary", {})[1]["type"] == "/problems/loading"


def test_a_store_without_memory_is_opened_anew_and_says_what_to_change(store: AnalyticsStore) -> None:
    with pytest.raises(Transient, match="raise it, or lower READSIDE_ANALYTICS_BATCH_CHANGES"), store._transaction():
        store.cursor().execute("select list(i) from range(1_000_000_000) r(i)")

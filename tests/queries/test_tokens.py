"""Read your own writes: never early, woken by the store's commit, honest when the time is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from config.settings import Settings
from queries.problems import Problem
from queries.tokens import ReadHeaders, Token, demand_of, parse_token
from tests.databases import eventually
from tests.queries.harness import Api, Projector

TOKEN = {"Readside-Token": "v1.900.0/200"}


class Reader:
    """Sends requests that stay open while the test goes on."""

    def __init__(self, api: Api, pool: ThreadPoolExecutor) -> None:
        self._api, self._pool = api, pool

    def get(self, path: str, headers: dict[str, str] | None = None, **parameters: object) -> Future[httpx.Response]:
        """Send the request and come back once it waits in the server."""
        before = self.waiting
        answer = self._pool.submit(self._api.get, path, headers, **parameters)
        eventually(lambda: answer.done() or self.waiting > before, what="the read waits")
        return answer

    @property
    def waiting(self) -> int:
        """How many reads wait in the server now."""
        metrics = self._api.get("/metrics").text
        return int(float(metrics.split('readside_queries_waiting{store="serving"} ')[1].split("\n")[0]))


@pytest.fixture
def reader(api: Api) -> Iterator[Reader]:
    """Open requests on the query server."""
    with ThreadPoolExecutor(16) as pool:
        yield Reader(api, pool)


@pytest.fixture
def order(projector: Projector) -> dict[str, object]:
    """An order's row as the awaited write leaves it."""
    return {"id": 7, "version": 2, "document": {"id": "7", "status": "paid"}}


def test_a_read_waits_for_its_write_and_is_woken_by_the_commit(
    reader: Reader, projector: Projector, order: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = reader.get("/orders/7", TOKEN)
    assert not answer.done()
    began = time.monotonic()
    projector.apply("0/200", order_details=order)
    assert answer.result().json() == order["document"]
    # Without the notification it would have taken the listener's next look, up to a second later, on average half.
    assert time.monotonic() - began < 0.1


def test_the_wake_comes_from_the_notification_not_from_a_look_at_the_clock(
    reader: Reader, projector: Projector, order: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queries.watch.REREAD_S", 3600.0)
    projector.apply("0/101")  # the listener begins its next, now endless, wait
    answer = reader.get("/orders/7", TOKEN)
    projector.apply("0/200", order_details=order)
    assert answer.result(timeout=4).status_code == 200
    projector.apply("0/201")


def test_a_lost_notification_delays_a_read_by_a_second_at_most(
    reader: Reader, projector: Projector, order: dict[str, object]
) -> None:
    answer = reader.get("/orders/7", TOKEN)
    projector.apply("0/200", notify=False, order_details=order)
    assert answer.result(timeout=3).status_code == 200


def test_a_commit_before_the_write_does_not_end_the_wait(
    reader: Reader, projector: Projector, order: dict[str, object]
) -> None:
    answer = reader.get("/orders/7", TOKEN)
    projector.apply("0/1FF", xid=899)
    projector.apply("0/1FF", xid=901, order_details={"id": 7, "version": 1, "document": {"status": "pending"}})
    assert not answer.done()
    projector.apply("0/200", order_details=order)
    assert answer.result().json() == order["document"]


def test_the_transaction_itself_ends_the_wait_before_the_position_is_passed(
    reader: Reader, projector: Projector, order: dict[str, object]
) -> None:
    answer = reader.get("/orders/7", TOKEN)
    projector.apply("0/1E0", xid=900, order_details=order)
    assert answer.result().json() == order["document"]


def test_a_later_transaction_of_the_same_32_bit_id_is_not_taken_for_the_write(api: Api, projector: Projector) -> None:
    projector.conn.execute("insert into readside.recent_transactions values (900, '0/300', now())")
    assert api.get("/orders", TOKEN | {"Prefer": "wait=0"}).status_code == 503


def test_a_64_bit_transaction_id_is_found_by_its_low_half(api: Api, projector: Projector) -> None:
    projector.apply("0/1E0", xid=5)
    assert api.get("/orders", {"Readside-Token": f"v1.{5 + (3 << 32)}.0/200", "Prefer": "wait=0"}).status_code == 200


def test_a_token_without_transaction_waits_for_its_position(api: Api, projector: Projector) -> None:
    token = {"Readside-Token": "v1..0/200", "Prefer": "wait=0"}
    assert api.get("/orders", token).status_code == 503
    projector.apply("0/200")
    assert api.get("/orders", token).status_code == 200


def test_positions_are_compared_as_numbers(api: Api, projector: Projector) -> None:
    projector.apply("9/FFFFFFFF")
    assert api.get("/orders", {"Readside-Token": "v1..10/0", "Prefer": "wait=0"}).status_code == 503
    projector.apply("10/0")
    assert api.get("/orders", {"Readside-Token": "v1..9/ffffffff"}).status_code == 200


def test_a_write_that_does_not_show_in_time_is_refused_with_both_positions(api: Api) -> None:
    began = time.monotonic()
    answer = api.get("/orders/7", TOKEN | {"Prefer": "wait=0.3"})
    assert 0.3 <= time.monotonic() - began < 2
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/stale-read")
    assert answer.json()["expected"] == {"lsn": "0/200"}
    assert answer.json()["actual"] == {"lsn": "0/100", "as_of": "2026-01-01T00:00:00.000000Z"}
    assert all(name in answer.headers for name in ("Retry-After", "Readside-As-Of", "Readside-Lag-Ms"))


def test_a_caller_may_take_a_stale_answer(api: Api, projector: Projector) -> None:
    projector.put("order_details", id=7, version=1)
    stale = TOKEN | {"Prefer": "wait=0, allow-stale"}
    assert [api.get(path, stale).status_code for path in ("/orders/7", "/orders", "/orders/8")] == [200, 200, 404]
    assert all(
        api.get(path, stale).headers["Readside-Stale"] == "true" for path in ("/orders/7", "/orders", "/orders/8")
    )
    assert "Readside-Stale" not in api.get("/orders/7").headers
    projector.apply("0/200")
    assert "Readside-Stale" not in api.get("/orders/7", stale).headers


def test_a_read_waits_for_a_version(reader: Reader, projector: Projector, order: dict[str, object]) -> None:
    projector.put("order_details", id=7, version=1)
    answer = reader.get("/orders/7", min_version=2)
    projector.apply("0/180")
    assert not answer.done()
    projector.apply("0/190", order_details=order)
    assert answer.result().json() == order["document"]


def test_a_version_that_does_not_come_is_refused_with_both_versions(api: Api, projector: Projector) -> None:
    projector.put("order_details", id=7, version=1)
    for id, version in (("7", 1), ("8", None)):
        answer = api.get(f"/orders/{id}", {"Prefer": "wait=0"}, min_version=2)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/stale-read")
        assert answer.json()["expected"] == {"min_version": 2}
        assert answer.json()["actual"]["version"] == version
    assert api.get("/orders/7", {"Prefer": "wait=0, allow-stale"}, min_version=2).headers["Readside-Stale"] == "true"
    assert api.get("/orders/x", min_version=2).status_code == 404
    assert api.get("/orders/7", min_version=0).status_code == 422


def test_waiting_reads_are_bounded_and_leave_the_server_responsive(
    api: Api, reader: Reader, projector: Projector, settings: Settings
) -> None:
    answers = [reader.get("/orders/7", TOKEN) for _ in range(settings.token_waiters)]
    refused = api.get("/orders/7", TOKEN)
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/too-many-waiting")
    assert api.get("/orders", TOKEN | {"Prefer": "allow-stale"}).headers["Readside-Stale"] == "true"
    assert api.get("/livez").status_code == api.get("/orders").status_code == 200
    projector.apply("0/200", order_details={"id": 7, "version": 1})
    assert {answer.result().status_code for answer in answers} == {200}
    assert reader.waiting == 0


def test_the_listener_comes_back_after_its_connection_is_lost(
    api: Api, reader: Reader, projector: Projector, order: dict[str, object]
) -> None:
    answer = reader.get("/orders/7", TOKEN)
    listeners = (
        "from pg_stat_activity where application_name = 'readside-queries-watch' and datname = current_database()"
    )
    lost = projector.conn.execute(f"select pid, pg_terminate_backend(pid) {listeners}").fetchall()
    projector.apply("0/200", order_details=order)  # while nobody listens
    assert answer.result(timeout=4).json() == order["document"]
    eventually(lambda: projector.conn.execute(f"select pid {listeners}").fetchall() not in ([], [lost[0][:1]]))
    woken = reader.get("/orders/7", {"Readside-Token": "v1..0/300"})
    projector.apply("0/300")
    assert woken.result(timeout=4).status_code == 200


@pytest.mark.parametrize(
    "token",
    [
        "",
        "v1",
        "v2.1.0/1",
        "v1.1.0/1.",
        "v1.x.0/1",
        "v1.-1.0/1",
        "v1.1.g/1",
        "v1.1.0",
        "v1.1.0/123456789",
        "v1.\N{ARABIC-INDIC DIGIT ONE}.0/1",
        "';--",
    ],
)
def test_a_malformed_token_is_refused(token: str) -> None:
    with pytest.raises(Problem) as refused:
        parse_token(token)
    assert (refused.value.status_code, refused.value.body["type"]) == (400, "/problems/malformed-token")


def test_a_malformed_token_is_refused_over_http(api: Api) -> None:
    for path in ("/orders/7", "/orders", "/users/7", "/analytics/orders/summary"):
        assert api.get(path, {"Readside-Token": "yesterday"}).json()["type"] == "/problems/malformed-token"


def test_a_token_keeps_the_low_half_of_the_transaction_id() -> None:
    assert parse_token(f"v1.{(7 << 32) + 42}.16/B374D848") == Token(xid=42, lsn="16/B374D848")
    assert parse_token("v1..0/a") == Token(xid=None, lsn="0/A")


@pytest.mark.parametrize(
    ("prefer", "wait_s", "allow_stale"),
    [
        ([], 2.0, False),
        (["wait=5"], 5.0, False),
        (["wait=0.25, allow-stale"], 0.25, True),
        (["allow-stale", "wait=5"], 5.0, True),
        (["Wait=5, Allow-Stale"], 5.0, True),
        (["wait=5; for=me, allow-stale;really"], 5.0, True),
        (["wait=9999"], 30.0, False),
        (["wait=-1"], 2.0, False),
        (["wait=inf, respond-async"], 2.0, False),
    ],
)
def test_preferences_that_are_not_understood_are_ignored(prefer: list[str], wait_s: float, allow_stale: bool) -> None:
    demand = demand_of(ReadHeaders.model_validate({"Prefer": prefer}), Settings(token_wait_s=2, token_wait_max_s=30))
    assert (demand.wait_s, demand.allow_stale) == (wait_s, allow_stale)

"""The event stream: the last hour, then every look; bounded in streams and memory; and it ends when it should."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from config.settings import Settings
from queries import events, sampler
from tests.databases import eventually
from tests.queries.harness import Api, Projector, serving
from tests.tokens import SECRET, bearer

Event = tuple[str, Any]


def read(lines: Iterator[str]) -> Iterator[Event]:
    """The stream's events; comments are skipped."""
    name = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def first(api: Api, count: int, headers: dict[str, str] | None = None) -> list[Event]:
    """So many events of a stream of its own."""
    with api.http.stream("GET", "/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        found = read(answer.iter_lines())
        return [next(found) for _ in range(count)]


def watching(api: Api) -> int:
    return len(api.app.state.sampler._watchers)


def test_the_last_hour_comes_first_and_then_every_look(api: Api) -> None:
    (kind, history), *looks = first(api, 3)
    assert kind == "history"
    assert all(len(column) == len(history["at"]) for column in history["series"].values())
    assert [name for name, _ in looks] == ["look", "look"]
    earlier, later = (look for _, look in looks)
    assert earlier["at"] < later["at"]
    assert {"state", "hops", "components", "models", "freshness"} <= later.keys()
    again = first(api, 1)[0][1]  # whoever comes again has missed nothing
    assert again["at"][-1] >= int(time.time()) - 10
    assert set(again["series"]["serving.state"]) <= {"ok", "degraded", "down"}


def test_everybody_is_shown_the_same_look(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[float] = []
    collect = sampler.collect

    def counted(settings: Settings) -> Any:
        looked.append(time.monotonic())
        return collect(settings)

    monkeypatch.setattr(sampler, "collect", counted)
    seen: list[list[Event]] = []
    threads = [threading.Thread(target=lambda: seen.append(first(api, 4))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 6
    shown = {look["at"] for events_of in seen for name, look in events_of if name == "look"}
    assert len(shown) <= len(looked) + 1  # and the one before


def test_a_change_is_shown_without_being_asked_for(api: Api, projector: Projector) -> None:
    with api.http.stream("GET", "/events") as answer:
        found = read(answer.iter_lines())
        next(found)
        projector.conn.execute("insert into readside.dead_letters values ('shop.public.orders', 0, 1)")
        assert any(look["dead_letters"] == 1 for _, (_, look) in zip(range(10), found, strict=False))


def test_streams_are_bounded_and_given_back(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "WATCHERS", 2)
    with api.http.stream("GET", "/events") as one, api.http.stream("GET", "/events") as other:
        assert (one.status_code, other.status_code) == (200, 200)
        eventually(lambda: watching(api) == 2)
        refused = api.get("/events")
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/too-many-streams")
        assert refused.headers["Retry-After"]
    eventually(lambda: watching(api) == 0, what="the streams are given back")
    assert first(api, 1)


def test_a_client_that_takes_nothing_is_left(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "SEND_S", 0.2)
    monkeypatch.setattr(type(api.app.state.sampler), "latest", property(lambda _: b'"%s"' % (b"x" * 4_000_000)))
    with api.http.stream("GET", "/events") as answer:
        assert answer.status_code == 200
        eventually(lambda: watching(api) == 1)
        eventually(lambda: watching(api) == 0, what="the server leaves it")


def test_a_stream_without_looks_has_a_heartbeat(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    with api.http.stream("GET", "/events") as answer:
        lines = answer.iter_lines()
        assert any(line.startswith(":") for _, line in zip(range(40), lines, strict=False))


def test_streams_end_cleanly_when_the_server_stops(
    projector: Projector, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(settings) as api:
        url = str(api.http.base_url)
        ended: list[str] = []
        begun = threading.Event()

        def follow() -> None:
            with httpx.stream("GET", f"{url}/events", timeout=20, trust_env=False) as answer:
                for name, _ in read(answer.iter_lines()):
                    begun.set()
                    ended[:] = [name]
            ended.append("end")

        thread = threading.Thread(target=follow)
        thread.start()
        assert begun.wait(20)
    thread.join(5)
    assert ended[-1] == "end"  # by a last chunk: a connection that was cut raises
    assert "graceful shutdown exceeded" not in caplog.text


def test_where_tokens_are_asked_for_a_stream_ends_to_be_asked_for_anew(
    projector: Projector, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LONGEST_S", 0.5)
    with serving(settings.model_copy(update={"auth": "jwt", "jwt_key": SecretStr(SECRET)})) as api:
        assert api.get("/events").status_code == 401
        with api.http.stream("GET", "/events", headers=bearer("operator")) as answer:
            assert answer.headers["Cache-Control"] == "private"
            names = [name for name, _ in read(answer.iter_lines())]  # to the stream's end
    assert names[0] == "history"


def test_a_model_that_is_not_there_has_no_stream(api: Api) -> None:
    answer = api.get("/events", model="nothing")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
    assert api.get("/events", model="x" * 64).status_code == 422

"""The whole stack, from whichever backend: a user made over HTTP is read over HTTP, also after each part's death."""

from __future__ import annotations

import secrets

import httpx
import psycopg
import pytest

from tests.backends import Stack
from tests.databases import eventually


@pytest.mark.parametrize("component", ["projector-serving", "projector-analytics", "connect", "kafka", "postgres"])
def test_killed_component_comes_back_and_what_was_written_meanwhile_is_read(stack: Stack, component: str) -> None:
    stack.wait_healthy()
    before = new_user(stack)
    eventually(lambda: is_read(stack, before), what="a user is read before the kill")
    stack.kill(component)
    eventually(lambda: written(stack), what="the writer answers again")
    meanwhile = new_user(stack)
    stack.wait_healthy(90)
    eventually(lambda: is_read(stack, meanwhile), what=f"a user written after {component} died is read", deadline_s=60)
    assert is_read(stack, before)


def test_kafkas_death_does_not_make_connect_restart_the_connector_from_a_stored_offset(stack: Stack) -> None:
    stack.wait_healthy()
    streaming = session_of_slot(stack)
    stack.kill("kafka")
    stack.wait_healthy(90)
    user = new_user(stack)
    eventually(lambda: is_read(stack, user), what="a user written after Kafka came back is read", deadline_s=60)
    assert session_of_slot(stack) == streaming


def session_of_slot(stack: Stack) -> int:
    """The server's process that sends changes to the connector: another one after each start of the connector."""
    assert stack.settings.source_dsn is not None
    query = "select active_pid from pg_replication_slots where slot_name = %(slot)s and active_pid is not null"
    with psycopg.connect(stack.settings.source_dsn.get_secret_value(), autocommit=True) as source:
        found = lambda: source.execute(query, {"slot": stack.settings.slot}).fetchone()  # noqa: E731
        eventually(lambda: found() is not None, what="the connector streams")
        row = found()
    assert row is not None
    return row[0]


def written(stack: Stack) -> bool:
    try:
        new_user(stack)
    except httpx.HTTPError:
        return False
    return True


def new_user(stack: Stack) -> str:
    body = {"email": f"{secrets.token_hex(6)}@example.com", "first_name": "Ada", "last_name": "Byron"}
    answer = httpx.post(f"http://{stack.settings.writer_address}/users", json=body, timeout=10).raise_for_status()
    return str(answer.json()["id"])


def is_read(stack: Stack, user: str) -> bool:
    try:
        answer = httpx.get(f"http://{stack.settings.queries_address}/users/{user}", timeout=10)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 and answer.json()["full_name"] == "Ada Byron"

"""What takes history away from a running stack is told by name in ``status``; what only looks so changes nothing."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast

import httpx
import psycopg
import pytest
from kafka import KafkaAdminClient
from kafka.structs import TopicPartition

from cdc.topics import admin
from config.environment import environment_of
from tests.backends import Native, native_stack
from tests.databases import eventually

USERS = "shop.public.users"


@pytest.fixture(scope="module")
def stack() -> Iterator[Native]:
    """A stack of these tests' own: what they do to it cannot be undone."""
    yield from native_stack()


def new_user(stack: Native) -> str:
    body = {"email": f"{secrets.token_hex(6)}@example.com", "first_name": "Ada", "last_name": "Byron"}
    answer = httpx.post(f"http://{stack.settings.writer_address}/users", json=body, timeout=10).raise_for_status()
    return str(answer.json()["id"])


def is_read(stack: Native, user: str) -> bool:
    answer = httpx.get(f"http://{stack.settings.queries_address}/users/{user}", timeout=10)
    return answer.status_code == 200


def why(stack: Native, name: str) -> str:
    """What ``readside status`` says of a component or hop, and the code it exits with."""
    command = [sys.executable, "-m", "stack", "status", "--output", "json", "--data-dir", stack.settings.data_dir]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=20)
    health = json.loads(asked.stdout)
    return f"exit code {asked.returncode}: " + next(
        part["why"] for part in (*health["components"], *health["hops"]) if part["name"] == name
    )


def tells(stack: Native, name: str, text: str) -> None:
    eventually(lambda: text in why(stack, name), what=lambda: f"{name} says {text}: {why(stack, name)}", deadline_s=40)
    assert why(stack, name).startswith("exit code 2: ")


def kafka(stack: Native) -> Any:
    return admin(stack.settings.kafka)


def test_history_that_is_lost_is_told_by_name_and_what_only_looks_so_changes_nothing(stack: Native) -> None:
    stack.wait_healthy()
    a_paused_projector_is_replaced_and_does_not_fight(stack)
    partitions_are_added_and_nothing_is_lost(stack)
    a_stopped_connector_goes_on_by_itself(stack)
    retention_takes_unread_records(stack)
    a_topic_is_made_anew(stack)
    users = the_slot_is_moved_on(stack)
    a_new_snapshot_leads_out_of_all_of_it(stack, users)


def a_paused_projector_is_replaced_and_does_not_fight(stack: Native) -> None:
    command = [sys.executable, "-m", "projectors", "serving"]
    stack.pause("projector-serving")
    paused = stack.pid("projector-serving")
    heir = subprocess.Popen(command, env=environment_of(stack.settings), stderr=subprocess.DEVNULL)
    try:
        user = new_user(stack)
        eventually(lambda: is_read(stack, user), what="the heir of a paused projector applies changes", deadline_s=40)
        stack.resume("projector-serving")
        tells(stack, "projector-serving", "another projector holds the serving store")
        assert stack.pid_now("projector-serving") != paused
        user = new_user(stack)
        eventually(lambda: is_read(stack, user), what="the heir is left in peace")
        assert heir.poll() is None
    finally:
        heir.send_signal(signal.SIGTERM)
        heir.wait(20)
    stack.wait_healthy()


def partitions_are_added_and_nothing_is_lost(stack: Native) -> None:
    with kafka(stack) as client:
        client.create_partitions({USERS: 9})
    users = [new_user(stack) for _ in range(20)]
    eventually(lambda: all(is_read(stack, user) for user in users), what="users of all partitions are read")
    stack.wait_healthy()


def a_stopped_connector_goes_on_by_itself(stack: Native) -> None:
    connector = f"{stack.settings.connect_url}/connectors/{stack.settings.connector}"
    httpx.put(f"{connector}/stop", timeout=10).raise_for_status()
    users = [new_user(stack) for _ in range(20)]

    def running() -> bool:
        return [task["state"] for task in httpx.get(f"{connector}/status").json()["tasks"]] == ["RUNNING"]

    eventually(running, what="its supervision starts it again", deadline_s=60)
    eventually(
        lambda: all(is_read(stack, user) for user in users), what="users written meanwhile are read", deadline_s=40
    )
    stack.wait_healthy()


def retention_takes_unread_records(stack: Native) -> None:
    stack.pause("projector-serving")
    users = [new_user(stack) for _ in range(20)]
    with kafka(stack) as client:
        ends = cast("KafkaAdminClient", client).list_partition_offsets(
            {TopicPartition(USERS, number): -1 for number in range(9)}
        )
        client.delete_records({partition: found.offset for partition, found in ends.items()})
    stack.resume("projector-serving")
    tells(stack, "projector-serving", "retention took records this store has not applied")
    assert not is_read(stack, users[-1])


def a_topic_is_made_anew(stack: Native) -> None:
    topic = "shop.public.products"
    with kafka(stack) as client:
        client.delete_topics([topic])
        eventually(lambda: topic not in client.list_topics(), what="the topic is gone")
        client.create_topics({topic: {"num_partitions": 4, "replication_factor": 1}})
    tells(stack, "projector-serving", f"topic {topic} was deleted and made anew")


def the_slot_is_moved_on(stack: Native) -> list[str]:
    source = stack.settings.source_dsn
    assert source is not None
    stack.pause("connect")  # the supervision would start again a connector that is stopped
    try:
        with psycopg.connect(source.get_secret_value(), autocommit=True) as database:
            slot = [stack.settings.slot]
            database.execute(
                "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s", slot
            )
            inactive = "select not active from pg_replication_slots where slot_name = %s"
            eventually(lambda: database.execute(inactive, slot).fetchone() == (True,), what="nobody reads the slot")
            users = [new_user(stack) for _ in range(3)]
            database.execute("select pg_replication_slot_advance(%s, pg_current_wal_lsn())", slot)
    finally:
        stack.resume("connect")
    tells(stack, "transport", "the slot was made anew or moved on by somebody else")
    return users


def a_new_snapshot_leads_out_of_all_of_it(stack: Native, users: list[str]) -> None:
    asked = [sys.executable, "-m", "cdc", "snapshot"]
    subprocess.run(asked, env=environment_of(stack.settings), check=True, capture_output=True, timeout=30)
    eventually(lambda: all(is_read(stack, user) for user in users), what="what was missed is read", deadline_s=60)
    stack.wait_healthy()

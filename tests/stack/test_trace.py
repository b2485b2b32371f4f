"""One row followed through every hop: where it is, when it was where, and where it is stuck."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from contextlib import closing
from typing import Any

import httpx
import psycopg
import pytest
from kafka import KafkaProducer

from tests.backends import ROOT, Native, Stack
from tests.databases import eventually


def test_a_row_is_followed_from_the_source_into_both_stores(stack: Stack) -> None:
    stack.wait_healthy()
    user = new_user(stack)
    found = arrived(stack, "users", user)
    assert found["source"]["present"]
    (inserted,) = found["kafka"]["records"]
    assert inserted["op"] == "insert"
    assert inserted["position"].startswith(f"{stack.settings.topic_prefix}.public.users[")
    hops = {hop["name"]: hop for hop in inserted["hops"]}
    assert list(hops) == ["source", "debezium", "kafka", "serving", "analytics"]
    assert hops["source"]["at"] <= hops["debezium"]["at"]
    assert hops["kafka"]["delay_ms"] >= 0
    assert hops["serving"]["state"] == hops["analytics"]["state"] == "applied"
    assert all(store["present"] for store in found["stores"])
    touched = {(model["store"], model["name"]): model["first"] for model in found["read_models"]}
    assert touched["serving", "user_profile"] == [[int(user)]]
    assert touched["analytics", "customers"] == [[int(user)]]


def test_no_value_but_the_keys_is_shown(stack: Stack) -> None:
    name = f"Secret{secrets.token_hex(4)}"
    user = new_user(stack, name)
    arrived(stack, "users", user)
    for output in ("json", "table"):
        ran = trace(stack, "users", user, "--output", output)
        assert name not in ran.stdout + ran.stderr


def test_a_row_that_is_gone_is_gone_everywhere_and_one_that_never_was_is_said_to(stack: Stack) -> None:
    stack.wait_healthy()
    one, other = new_user(stack), new_user(stack)
    writer = f"http://{stack.settings.writer_address}"
    httpx.put(f"{writer}/users/{one}/following/{other}", timeout=10).raise_for_status()
    assert arrived(stack, "follows", f"{one},{other}")["stores"][0]["present"]
    httpx.delete(f"{writer}/users/{one}/following/{other}", timeout=10).raise_for_status()
    found = arrived(stack, "public.follows", "--key", f"followee_id={other}", "--key", f"follower_id={one}")
    assert not found["source"]["present"]
    assert [record["op"] for record in found["kafka"]["records"]] == ["insert", "delete"]
    ran = trace(stack, "follows", f"{one},{one}", "--output", "table")
    assert ran.returncode == 1
    assert "There is no such row" in ran.stdout


def test_a_paused_projector_is_where_a_row_is_stuck(stack: Stack) -> None:
    stack.wait_healthy()
    user = new_user(stack)
    arrived(stack, "users", user)
    stack.pause("projector-serving")
    try:
        rename(stack, user)
        eventually(
            lambda: "stuck between Kafka and the serving store" in trace(stack, "users", user, "--wait", "0").stdout,
            what="the change is seen in Kafka and not in the store",
            deadline_s=60,
        )
    finally:
        stack.resume("projector-serving")
    stack.wait_healthy(90)
    assert [record["op"] for record in arrived(stack, "users", user)["kafka"]["records"]] == ["insert", "update"]


def test_a_paused_capture_is_where_a_row_is_stuck(stack: Stack) -> None:
    stack.wait_healthy()
    user = new_user(stack)
    arrived(stack, "users", user)
    stack.pause("connect")
    try:
        rename(stack, user)
        ran = trace(stack, "users", user, "--wait", "0")
        assert ran.returncode == 1
        assert "stuck between the source and Kafka" in ran.stdout
    finally:
        stack.resume("connect")
    stack.wait_healthy(90)
    arrived(stack, "users", user)


def test_a_paused_broker_is_said_soon_and_the_rest_is_shown(stack: Stack) -> None:
    stack.wait_healthy()
    user = new_user(stack)
    arrived(stack, "users", user)
    stack.pause("kafka")
    try:
        ran = trace(stack, "users", user, "--wait", "0")
    finally:
        stack.resume("kafka")
    assert ran.returncode == 2
    assert "does not answer" in json.loads(ran.stdout)["kafka"]["fault"]
    assert json.loads(ran.stdout)["source"]["present"]
    stack.wait_healthy(90)


def test_a_damaged_record_is_where_a_row_is_stuck(stack: Stack) -> None:
    if not isinstance(stack, Native):
        pytest.skip("this stack stops at what it cannot apply; the native one parks it")
    stack.wait_healthy()
    writer = f"http://{stack.settings.writer_address}"
    seller = str(httpx.post(f"{writer}/sellers", json={"name": "Mill"}, timeout=10).raise_for_status().json()["id"])
    arrived(stack, "sellers", seller)
    with closing(KafkaProducer(bootstrap_servers=stack.settings.kafka.split(","))) as producer:
        key = json.dumps({"id": int(seller)}, separators=(",", ":")).encode()
        producer.send(f"{stack.settings.topic_prefix}.public.sellers", key=key, value=b"{}").get(20)
    parked: list[str] = []

    def stuck() -> bool:
        ran = trace(stack, "sellers", seller, "--wait", "0")
        parked[:] = [each["id"] for store in json.loads(ran.stdout)["stores"] for each in store["dead_letters"]]
        return len(parked) == 2

    try:
        eventually(stuck, what="both stores have parked it", deadline_s=60)
        ran = trace(stack, "sellers", seller, "--wait", "0", "--output", "table")
        assert ran.returncode == 1
        assert f"readside dead-letters show {parked[0]}" in " ".join(ran.stdout.split())
        assert "damaged" in ran.stdout
    finally:
        command = [sys.executable, "-m", "stack", "dead-letters", "drop", "--all", "--data-dir"]
        subprocess.run([*command, str(stack.settings.data_dir)], cwd=ROOT, check=True)
    arrived(stack, "sellers", seller)


def test_mistakes_are_said(stack: Stack) -> None:
    for arguments, said in (
        (("orders", "abc"), "is no key of that table: invalid input syntax for type bigint"),
        (("oders", "1"), "did you mean"),
        (("orders",), "which row of public.orders? Give its key, id"),
    ):
        ran = trace(stack, *arguments)
        assert (ran.returncode, said in ran.stderr) == (2, True), ran.stderr
    assert trace(stack).returncode == 64


def arrived(stack: Stack, *arguments: str) -> dict[str, Any]:
    """The trace of a row once it has arrived everywhere."""
    found: dict[str, Any] = {}

    def whole() -> bool:
        ran = trace(stack, *arguments, "--output", "json")
        found.update(json.loads(ran.stdout))
        return ran.returncode == 0

    eventually(whole, what=lambda: f"the row arrives: {found.get('verdict')}", deadline_s=60)
    return found


def trace(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stack", "trace", *arguments, "--data-dir", str(stack.settings.data_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def new_user(stack: Stack, name: str = "Ada") -> str:
    body = {"email": f"{secrets.token_hex(6)}@example.com", "first_name": name, "last_name": "Byron"}
    answer = httpx.post(f"http://{stack.settings.writer_address}/users", json=body, timeout=10).raise_for_status()
    return str(answer.json()["id"])


def rename(stack: Stack, user: str) -> None:
    assert stack.settings.writer_dsn is not None
    with psycopg.connect(stack.settings.writer_dsn.get_secret_value()) as source:
        source.execute("update users set last_name = 'Lovelace' where id = %(id)s", {"id": user})

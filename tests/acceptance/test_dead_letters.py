"""A damaged record in a real topic: parked, shown without its values, dropped, and what was behind it applied."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import httpx
import psycopg
import pytest
from kafka import KafkaProducer

from tests.backends import PARKED, ROOT, Native, Stack
from tests.databases import eventually

SECRET = "Somebody's Mill"


def test_a_damaged_record_is_parked_and_settled_from_the_command_line(stack: Stack) -> None:
    if not isinstance(stack, Native):
        pytest.skip("this stack stops at what it cannot apply; the native one parks it")
    stack.wait_healthy()
    writer = f"http://{stack.settings.writer_address}"
    seller = httpx.post(f"{writer}/sellers", json={"name": SECRET}).raise_for_status().json()["id"]
    eventually(lambda: name(stack, seller) == SECRET, what="the seller is mirrored")
    damage(stack, seller)
    rename(stack, seller, "Behind")
    eventually(lambda: in_both(stack) == [2, 2], what="the record and what is behind it are parked in both stores")
    letters = listed(stack)
    assert [letter["reason"].split(" ")[0] for letter in letters] == ["not", "behind"]
    assert SECRET not in command(stack, "show", letters[0]["id"]).stdout
    assert command(stack, "retry", "--all").returncode == 1, "it still cannot be understood"
    assert name(stack, seller) == SECRET
    assert command(stack, "drop", letters[0]["id"]).returncode == 0
    assert command(stack, "retry", letters[1]["id"]).returncode == 0
    eventually(lambda: in_both(stack) == [0, 0], what="both stores have settled them")
    assert name(stack, seller) == "Behind"
    assert command(stack, "counts").returncode == 0


def damage(stack: Stack, seller: str) -> None:
    """Write what is no change into the table's topic, under the seller's key."""
    producer = KafkaProducer(bootstrap_servers=stack.settings.kafka.split(","))
    try:
        key = json.dumps({"id": int(seller)}, separators=(",", ":")).encode()
        topic = f"{stack.settings.topic_prefix}.{PARKED[0]}"
        producer.send(topic, key=key, value=json.dumps({"name": SECRET}).encode()).get(10)
    finally:
        producer.close()


def rename(stack: Stack, seller: str, to: str) -> None:
    assert stack.settings.writer_dsn is not None
    with psycopg.connect(stack.settings.writer_dsn.get_secret_value()) as source:
        source.execute("update sellers set name = %(to)s where id = %(id)s", {"to": to, "id": seller})


def name(stack: Stack, seller: str) -> str | None:
    assert stack.settings.serving_dsn is not None
    with psycopg.connect(stack.settings.serving_dsn.get_secret_value()) as store:
        row = store.execute("select name from mirror.sellers where id = %(id)s", {"id": seller}).fetchone()
    return row[0] if row else None


def in_both(stack: Stack) -> list[int]:
    """How many each store has parked."""
    return [len(listed(stack, store)) for store in ("serving", "analytics")]


def listed(stack: Stack, store: str = "serving") -> list[dict[str, Any]]:
    letters = json.loads(command(stack, "list", "--output", "json").stdout)
    return [letter for letter in letters if letter["store"] == store]


def command(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stack", "dead-letters", *arguments, "--data-dir", str(stack.settings.data_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

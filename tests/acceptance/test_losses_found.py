"""What is lost or spoiled behind the pipeline's back is found by the background verification, named, and repaired."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, LiteralString

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Composed

from config.settings import Settings
from projectors.verification.reconciler import Reconciler
from tests.backends import Native, native_stack
from tests.databases import eventually
from tests.second import Copy, database, projecting

FOUND_S = 60.0  # the goal: a loss is told within that


@pytest.fixture(scope="module")
def stack() -> Iterator[Native]:
    """A stack of these tests' own, which verifies often and repairs nothing by itself."""
    yield from native_stack(verify_interval_s=2.0)


def test_what_is_lost_or_spoiled_is_found_named_and_repaired(stack: Native, tmp_path: Path) -> None:
    users = [new_user(stack) for _ in range(20)]
    eventually(lambda: all(is_read(stack, user) for user in users), deadline_s=40)
    a_spoiled_mirror_is_loaded_from_a_snapshot(stack, users[0])
    a_spoiled_model_is_built_anew(stack, users[1])
    a_change_that_was_lost_upstream_is_repaired_by_itself(stack, users[2])
    a_transaction_that_a_copy_of_the_topics_lacks_is_repaired_by_itself(stack, users[3], tmp_path)
    eventually(lambda: not unverified(stack), what=lambda: str(unverified(stack)), deadline_s=120, every_s=1)
    is_well(stack)


def a_spoiled_mirror_is_loaded_from_a_snapshot(stack: Native, user: str) -> None:
    serving(stack, "update mirror.users set last_name = 'Secret' where id = %(id)s", user)
    tells(stack, "mirror.users (1 rows)")
    assert "`readside verify` shows the rows, `readside verify --repair` makes them equal" in why(stack)
    assert "Secret" not in (stack.settings.data_dir / "logs" / "projector-serving.log").read_text()
    serving(stack, "update read_models.user_profile set document = document - 'email' where id = %(id)s", user)
    shown = verify(stack, "user_profile", "--values", "--output", "json")
    (verdict,) = json.loads(shown.stdout)
    assert (shown.returncode, verdict["differences"], verdict["columns"]) == (1, 1, {"document.email": 1})
    assert verify(stack, "--repair", answer="n\n").returncode == 1
    asked = verify(stack, "--repair", "--yes", "--output", "json")
    assert asked.returncode == 0, asked.stderr
    assert "mirror.users" in asked.stderr
    assert all(one["differences"] == 0 for one in json.loads(asked.stdout))
    is_well(stack)
    assert serving(stack, "select last_name from mirror.users where id = %(id)s", user) == [("Byron",)]


def a_spoiled_model_is_built_anew(stack: Native, user: str) -> None:
    serving(stack, "delete from read_models.user_profile where id = %(id)s", user)
    tells(stack, "user_profile (1 rows)")
    asked = verify(stack, "user_profile", "--repair", "--yes")
    assert asked.returncode == 0, asked.stderr
    assert is_read(stack, user)
    is_well(stack)


def a_change_that_was_lost_upstream_is_repaired_by_itself(stack: Native, user: str) -> None:
    assert stack.settings.admin_dsn is not None
    assert stack.settings.source_dsn is not None
    database = conninfo_to_dict(stack.settings.source_dsn.get_secret_value())["dbname"]
    with psycopg.connect(stack.settings.admin_dsn.get_secret_value(), dbname=str(database)) as source:
        # Within one transaction nobody can see that the table was not published, and nothing in the stream tells.
        source.execute("alter publication readside drop table public.users")
        source.execute("update users set last_name = 'Lovelace' where id = %(id)s", {"id": user})
        source.execute("alter publication readside add table public.users")
    tells(stack, "mirror.users (1 rows)")
    with repairing(Settings(data_dir=stack.settings.data_dir)):
        eventually(lambda: full_name(stack, user) == "Ada Lovelace", deadline_s=120, every_s=0.5)
    is_well(stack)


def a_transaction_that_a_copy_of_the_topics_lacks_is_repaired_by_itself(
    stack: Native, user: str, directory: Path
) -> None:
    assert stack.settings.writer_dsn is not None
    writer = stack.settings.writer_dsn.get_secret_value()
    with (
        closing(Copy(stack.settings, "copied")) as copy,
        database(stack.settings, "copied") as dsn,
        projecting(copy.settings, dsn, directory) as theirs,
        psycopg.connect(dsn, autocommit=True) as store,
    ):
        eventually(lambda: last_name(store, user) == "Byron", deadline_s=FOUND_S, every_s=0.5)
        with psycopg.connect(writer) as source:
            (xid,) = source.execute("select pg_current_xact_id()::text::bigint").fetchone() or (0,)
            copy.missing.add(xid)
            source.execute("update users set last_name = 'King' where id = %(id)s", {"id": user})
        eventually(lambda: full_name(stack, user) == "Ada King", what="the stack's own store has it")
        # The snapshot that it asks for is the stack's, and reaches the copy too.
        with repairing(theirs.model_copy(update={"topic_prefix": stack.settings.topic_prefix})):
            eventually(lambda: differing(store, "found") == 1, deadline_s=FOUND_S, every_s=0.5)
            eventually(lambda: last_name(store, user) == "King", deadline_s=120, every_s=0.5)
            eventually(lambda: differing(store, "repaired") == 1, deadline_s=FOUND_S, every_s=0.5)


def last_name(store: psycopg.Connection[Any], user: str) -> str | None:
    return first(store, SQL("select last_name from mirror.users where id = {}").format(int(user)))


def differing(store: psycopg.Connection[Any], counted: Literal["found", "repaired"]) -> int | None:
    """Rows of users, since ever."""
    return first(store, SQL("select {} from readside.verified where name = 'mirror.users'").format(SQL(counted)))


def first(store: psycopg.Connection[Any], query: Composed) -> Any:
    """The first value; None as long as there is no such table or row."""
    try:
        row = store.execute(query).fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return row and row[0]


@contextmanager
def repairing(settings: Settings) -> Iterator[None]:
    """Verify and repair what is found while the block runs."""
    stop = threading.Event()
    often = settings.model_copy(update={"verify_repair": True, "verify_interval_s": 1.0})
    thread = threading.Thread(target=Reconciler(often, stop).run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def new_user(stack: Native) -> str:
    body = {"email": f"{secrets.token_hex(6)}@example.com", "first_name": "Ada", "last_name": "Byron"}
    answer = httpx.post(f"http://{stack.settings.writer_address}/users", json=body, timeout=10).raise_for_status()
    return str(answer.json()["id"])


def is_read(stack: Native, user: str) -> bool:
    return httpx.get(f"http://{stack.settings.queries_address}/users/{user}", timeout=10).status_code == 200


def full_name(stack: Native, user: str) -> str:
    return httpx.get(f"http://{stack.settings.queries_address}/users/{user}", timeout=10).json().get("full_name", "")


def serving(stack: Native, statement: LiteralString, user: str) -> list[Any]:
    assert stack.settings.serving_dsn is not None
    with psycopg.connect(stack.settings.serving_dsn.get_secret_value(), autocommit=True) as store:
        found = store.execute(statement, {"id": user})
        return found.fetchall() if found.description else []


def health(stack: Native) -> Any:
    return httpx.get(f"http://{stack.settings.queries_address}/health", timeout=10).json()


def unverified(stack: Native) -> list[str]:
    """Models that were not compared yet; former versions are not."""
    models = health(stack)["models"]
    return [model["name"] for model in models if not model["verified"] and "__" not in model["name"]]


def why(stack: Native) -> str:
    return " ".join(hop["why"] for hop in health(stack)["hops"])


def tells(stack: Native, text: str) -> None:
    eventually(lambda: text in why(stack), what=lambda: why(stack), deadline_s=FOUND_S, every_s=0.5)
    assert health(stack)["state"] == "degraded"


def is_well(stack: Native) -> None:
    eventually(
        lambda: health(stack)["state"] == "ok", what=lambda: str(health(stack)["hops"]), deadline_s=60, every_s=0.5
    )


def verify(stack: Native, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stack", "verify", *arguments, "--data-dir", str(stack.settings.data_dir)]
    return subprocess.run(command, input=answer, capture_output=True, text=True, timeout=240)

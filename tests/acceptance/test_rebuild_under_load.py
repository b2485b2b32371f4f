"""A developer changes a read model in the middle of the day: no read fails, and every row is right before and after."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from stack.load import Load
from stack.verification import verdicts_of
from tests.backends import ROOT, Native, native_stack
from tests.databases import eventually


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reference application's declarations, as a package that the test may edit."""
    folder = tmp_path / f"models_{secrets.token_hex(4)}"  # imported here too, once and for all
    shutil.copytree(ROOT / "projectors" / "read_models", folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # what is edited twice a second is compiled anew
    return folder


@pytest.fixture
def shop(package: Path) -> Iterator[Native]:
    yield from native_stack(models=package.name)


def test_a_declaration_is_changed_under_load_and_rolled_back(shop: Native, package: Path) -> None:
    with load(shop), reads(shop) as answers:
        before = labels(shop)
        assert before <= {"Pending", "Paid", "Shipped", "Delivered", "Cancelled"}
        edit(package / "order_list_item.py", "initcap(o.status)", "upper(o.status)")
        oracle = package / "oracles" / "order_list_item.sql"
        edit(oracle, "case o.status when", "upper(o.status) as status_label, case o.status when")
        edit(oracle, "'Cancelled' end as status_label", "'Cancelled' end as unused")
        edit(oracle, "to_jsonb(item)", "to_jsonb(item) - 'unused'")
        begin_anew(shop)
        eventually(lambda: states(shop) == ["swapped"], what=lambda: f"it is rebuilt: {states(shop)}", deadline_s=120)
        eventually(lambda: all(label.isupper() for label in labels(shop)), what="what is served is the new version")
        assert [verdict for verdict in verdicts_of(shop.settings) if verdict.differences] == []
        served = sum(answers.values())
        rolled = readside(shop, "rebuild", "--rollback", "--yes")
        assert rolled.returncode == 0, rolled.stderr
        assert "status_label" not in rolled.stdout and "document" in rolled.stdout  # columns are named, no values
        assert states(shop) == ["rolled back"]
        assert labels(shop) <= {"Pending", "Paid", "Shipped", "Delivered", "Cancelled"}
        eventually(lambda: sum(answers.values()) > served + 50, what="reads go on")
    assert set(answers) == {200}


def test_a_killed_rebuild_goes_on_where_it_was(shop: Native) -> None:
    with load(shop):
        for number in (1, 2, 3):
            asked = subprocess.Popen(
                command(shop, "rebuild", "order_list_item", "user_profile", "--yes"), stderr=subprocess.PIPE, text=True
            )
            eventually(lambda number=number: len(states(shop)) == number, what="it is asked for", deadline_s=60)
            shop.kill("projector-serving")
            _, said = asked.communicate(timeout=120)
            assert asked.returncode == 0, said
        assert states(shop) == ["swapped"] * 3
        assert [verdict for verdict in verdicts_of(shop.settings) if verdict.differences] == []


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, (path.name, old)
    path.write_text(text.replace(old, new))


def begin_anew(shop: Native) -> None:
    """The projector ends as it does when it is told to, and the supervisor starts it again."""
    pid = shop.pid("projector-serving")
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: shop.pid_now("projector-serving") not in (None, pid), what="it is started again")


def states(shop: Native) -> list[str]:
    assert shop.settings.serving_dsn is not None
    with psycopg.connect(shop.settings.serving_dsn.get_secret_value(), autocommit=True) as store:
        return [state for (state,) in store.execute("select state from readside.rebuilds order by id").fetchall()]


def labels(shop: Native) -> set[str]:
    answer = httpx.get(f"http://{shop.settings.queries_address}/orders?limit=50", timeout=10).raise_for_status()
    return {item["status_label"] for item in answer.json()["items"]}


def command(shop: Native, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "stack", *arguments, "--data-dir", str(shop.settings.data_dir)]


def readside(shop: Native, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(shop, *arguments), capture_output=True, text=True, timeout=120)


@contextmanager
def load(shop: Native) -> Generator[None]:
    """Traffic while the block runs."""
    traffic = Load(f"http://{shop.settings.writer_address}", seed=5, rate=25, workers=3)
    traffic.prepare(users=30, products=15)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            traffic.run(600)
        except BaseException as exc:
            failed.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    address = f"http://{shop.settings.queries_address}/orders?limit=50"
    try:
        eventually(
            lambda: len(httpx.get(address).json().get("items", ())) == 50, what="there are orders", deadline_s=60
        )
        yield
    finally:
        traffic.stop()
        thread.join()
    assert not failed, failed


@contextmanager
def reads(shop: Native) -> Generator[Counter[int]]:
    """Reads of the model without a pause while the block runs; the answers' statuses counted."""
    answers: Counter[int] = Counter()
    stop = threading.Event()

    def work(path: str) -> None:
        with httpx.Client(base_url=f"http://{shop.settings.queries_address}", timeout=30) as client:
            while not stop.is_set():
                answers[client.get(path).status_code] += 1

    threads = [
        threading.Thread(target=work, args=(path,))
        for path in ("/orders?limit=50", "/orders?search=O", "/users/1/orders")
    ]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()

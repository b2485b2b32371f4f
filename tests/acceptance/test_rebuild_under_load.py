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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from projectors.verification.comparing import Verdict
from stack.verification import verdicts_of
from tests import directories
from tests.backends import ROOT, Native, native_stack
from tests.databases import eventually
from tests.traffic import under_load


@pytest.fixture(scope="module")
def package() -> Iterator[Path]:
    """The reference application's declarations, as a package that the tests may edit."""
    with directories.temporary("models") as directory, pytest.MonkeyPatch.context() as patch:
        folder = directory / f"models_{secrets.token_hex(4)}"
        shutil.copytree(ROOT / "projectors" / "read_models", folder, ignore=shutil.ignore_patterns("__pycache__"))
        patch.syspath_prepend(directory)
        patch.setenv("PYTHONPATH", str(directory))
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # what is edited twice a second is compiled anew
        yield folder


@pytest.fixture(scope="module")
def stack_of_package(package: Path) -> Iterator[Native]:
    yield from native_stack(models=package.name)


@dataclass(frozen=True, slots=True)
class Shop:
    """The stack of these tests, and the rebuilds there were before one of them."""

    stack: Native
    before: int

    def states(self) -> list[str]:
        with self.store() as store:
            query = "select state from readside.rebuilds where id > %s order by id"
            return [state for (state,) in store.execute(query, (self.before,)).fetchall()]

    def store(self) -> psycopg.Connection[Any]:
        assert self.stack.settings.serving_dsn is not None
        return psycopg.connect(self.stack.settings.serving_dsn.get_secret_value(), autocommit=True)

    def labels(self) -> set[str]:
        address = f"http://{self.stack.settings.queries_address}/orders?limit=50"
        answer = httpx.get(address, timeout=10).raise_for_status()
        return {item["status_label"] for item in answer.json()["items"]}

    def begin_anew(self) -> None:
        """The projector ends as it does when it is told to, and the supervisor starts it again."""
        pid = self.stack.pid("projector-serving")
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: self.stack.pid_now("projector-serving") not in (None, pid), what="it is started again")

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "stack", *arguments, "--data-dir", str(self.stack.settings.data_dir)]

    def readside(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=120)

    def differences(self) -> list[Verdict]:
        return [verdict for verdict in verdicts_of(self.stack.settings) if verdict.differences]


@pytest.fixture
def shop(stack_of_package: Native) -> Shop:
    stack_of_package.wait_healthy()
    shop = Shop(stack_of_package, 0)
    with shop.store() as store:
        (latest,) = store.execute("select coalesce(max(id), 0) from readside.rebuilds").fetchone() or (0,)
    return Shop(stack_of_package, latest)


def test_a_declaration_is_changed_under_load_and_rolled_back(shop: Shop, package: Path) -> None:
    with load(shop), reads(shop) as answers:
        oracle = package / "oracles" / "order_list_item.sql"
        before = shop.labels()
        assert before <= {"Pending", "Paid", "Shipped", "Delivered", "Cancelled"}
        written = {path: path.read_text() for path in (package / "order_list_item.py", oracle)}
        edit(package / "order_list_item.py", "initcap(o.status)", "upper(o.status)")
        edit(oracle, "case o.status when", "upper(o.status) as status_label, case o.status when")
        edit(oracle, "'Cancelled' end as status_label", "'Cancelled' end as unused")
        edit(oracle, "to_jsonb(item)", "to_jsonb(item) - 'unused'")
        shop.begin_anew()
        eventually(lambda: shop.states() == ["swapped"], what=lambda: f"it is rebuilt: {shop.states()}", deadline_s=120)
        eventually(lambda: all(label.isupper() for label in shop.labels()), what="what is served is the new version")
        assert shop.differences() == []
        served = sum(answers.values())
        rolled = shop.readside("rebuild", "--rollback", "--yes")
        assert rolled.returncode == 0, rolled.stderr
        assert "status_label" not in rolled.stdout and "document" in rolled.stdout  # columns are named, no values
        assert shop.states() == ["rolled back"]
        assert shop.labels() <= {"Pending", "Paid", "Shipped", "Delivered", "Cancelled"}
        eventually(lambda: sum(answers.values()) > served + 50, what="reads go on")
    assert set(answers) == {200}
    for path, text in written.items():
        path.write_text(text)
    shop.begin_anew()


def test_a_killed_rebuild_goes_on_where_it_was(shop: Shop) -> None:
    with load(shop):
        for number in (1, 2, 3):
            asked = subprocess.Popen(
                shop.command("rebuild", "order_list_item", "user_profile", "--yes"), stderr=subprocess.PIPE, text=True
            )
            eventually(lambda number=number: len(shop.states()) == number, what="it is asked for", deadline_s=60)
            shop.stack.kill("projector-serving")
            _, said = asked.communicate(timeout=120)
            assert asked.returncode == 0, said
        assert shop.states() == ["swapped"] * 3
        assert shop.differences() == []


def test_kafkas_log_is_replayed_and_a_mirror_that_is_not_what_it_says_is_told(shop: Shop) -> None:
    with load(shop):
        pass
    ran = shop.readside("rebuild", "order_list_item", "--from", "kafka", "--yes")
    assert ran.returncode == 0, ran.stderr
    assert "are what Kafka's log says" in ran.stderr
    with shop.store() as store:
        store.execute("update mirror.users set first_name = 'Eve' where id = 1")
    ran = shop.readside("rebuild", "order_list_item", "--from", "kafka", "--yes")
    assert ran.returncode == 2
    assert "mirror.users (1 rows)" in ran.stderr and "--from snapshot" in ran.stderr
    ran = shop.readside("rebuild", "order_list_item", "--from", "snapshot", "--yes")
    assert ran.returncode == 0, ran.stderr
    assert shop.differences() == []
    assert shop.states() == ["swapped", "swapped"]
    with shop.store() as store:
        assert store.execute("select datname from pg_database where datname like 'readside_replay%'").fetchall() == []


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, (path.name, old)
    path.write_text(text.replace(old, new))


@contextmanager
def load(shop: Shop) -> Generator[None]:
    """Traffic while the block runs, which begins when there are orders."""
    address = f"http://{shop.stack.settings.queries_address}/orders?limit=50"
    with under_load(shop.stack, seed=secrets.randbits(30), rate=25, users=30, products=15):
        eventually(
            lambda: len(httpx.get(address).json().get("items", ())) == 50, what="there are orders", deadline_s=60
        )
        yield


@contextmanager
def reads(shop: Shop) -> Generator[Counter[int]]:
    """Reads of the model without a pause while the block runs; the answers' statuses counted."""
    answers: Counter[int] = Counter()
    stop = threading.Event()

    def work(path: str) -> None:
        with httpx.Client(base_url=f"http://{shop.stack.settings.queries_address}", timeout=30) as client:
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

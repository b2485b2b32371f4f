"""The registered read models as a command lists them, with a stack and without."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from projectors import registry
from stack.models import rebuilding
from tests.backends import ROOT, Stack
from tests.databases import eventually

DECLARED = registry.load("projectors.read_models")


def test_source_tables_are_found_through_rollups_and_models() -> None:
    by_name = {(model.store, model.name): DECLARED.tables_beneath(model) for model in DECLARED.read_models}
    assert by_name["analytics", "customer_segments"] == {"orders", "users"}
    assert by_name["serving", "user_profile"] == {"follows", "orders", "posts", "users"}
    assert by_name["serving", "following"] == {"follows"}
    assert all(by_name.values())


@pytest.mark.parametrize(
    ("rebuild", "said"),
    [
        (None, ""),
        ({"state": "building", "done": 50, "total": 200, "eta_seconds": 15.0}, "rebuild building 25 %, 15 s left"),
        ({"state": "catching up", "done": 0, "total": None, "eta_seconds": None}, "rebuild catching up"),
    ],
    ids=["none", "on its way", "without an end in sight"],
)
def test_a_rebuild_is_told_in_a_few_words(rebuild: object, said: str) -> None:
    assert rebuilding(rebuild) == said


def test_what_is_declared_is_listed_without_a_stack(tmp_path: Path) -> None:
    ran = models("--data-dir", str(tmp_path), "--output", "json")
    assert ran.returncode == 2
    listed = {(row["store"], row["name"]): row for row in json.loads(ran.stdout)}
    assert listed.keys() == {(model.store, model.name) for model in DECLARED.read_models}
    assert listed["serving", "order_details"]["key"] == ["id"]
    assert all(row["rows"] is None and row["freshness_seconds"] is None for row in listed.values())
    assert "what the serving store holds is not known" in ran.stderr


def test_no_declarations_are_no_mistake_and_wrong_ones_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("READSIDE_MODELS", "")
    assert "no read model is registered" in models("--data-dir", str(tmp_path), "--output", "table").stderr
    monkeypatch.setenv("READSIDE_MODELS", "no_such_package")
    ran = models("--data-dir", str(tmp_path))
    assert ran.returncode == 2
    assert "READSIDE_MODELS=no_such_package cannot be imported" in ran.stderr


def test_every_model_of_a_running_stack_has_rows_version_and_freshness(stack: Stack) -> None:
    stack.wait_healthy()
    found: list[dict[str, Any]] = []

    def whole() -> bool:
        ran = models("--data-dir", str(stack.settings.data_dir), "--output", "json")
        found[:] = json.loads(ran.stdout)
        return ran.returncode == 0

    eventually(whole, what="every model is told of", deadline_s=60)
    assert {row["name"] for row in found} >= {"order_details", "orders", "daily_orders", "user_profile"}
    assert all(row["rows"] >= 0 and row["freshness_seconds"] >= 0 for row in found)
    assert all(row["version"] >= 1 for row in found if row["store"] == "serving")
    table = models("--data-dir", str(stack.settings.data_dir), "--output", "table").stdout
    assert all(row["name"] in table for row in found)


def models(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stack", "models", *arguments], cwd=ROOT, capture_output=True, text=True
    )

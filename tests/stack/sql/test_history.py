"""The history of the prompt: its owner's alone, bounded, without the token."""

from __future__ import annotations

from pathlib import Path

import pytest

from stack.sql import history
from stack.sql.history import PrivateHistory


def kept(path: Path) -> list[str]:
    return list(PrivateHistory(path, None).load_history_strings())


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "history"
    PrivateHistory(path, None).append_string("select 1;\n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept(path) == ["select 1;"]
    path.chmod(0o644)
    PrivateHistory(path, None)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_token_is_never_in_it(tmp_path: Path) -> None:
    kept_with_token = PrivateHistory(tmp_path / "history", "very-secret")
    for line in ("select 'very-secret';", "select 1;", "-- very-secret"):
        kept_with_token.append_string(line)
    assert kept(tmp_path / "history") == ["select 1;"]
    assert "secret" not in (tmp_path / "history").read_text()


@pytest.mark.parametrize(("bound", "most"), [("MOST_ENTRIES", 3), ("MOST_BYTES", 30)])
def test_the_newest_entries_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, most: int) -> None:
    first = PrivateHistory(tmp_path / "history", None)
    for number in range(10):
        first.append_string(f"select\n{number};")
    monkeypatch.setattr(history, bound, most)
    PrivateHistory(tmp_path / "history", None)
    assert kept(tmp_path / "history") == ["select\n9;", "select\n8;", "select\n7;"]
    assert (tmp_path / "history").stat().st_mode & 0o777 == 0o600
    first.append_string("select 10;")  # by a prompt that was open
    assert kept(tmp_path / "history")[0] == "select 10;"


def test_what_is_no_text_is_not_kept_and_does_no_harm(tmp_path: Path) -> None:
    history = PrivateHistory(tmp_path / "history", None)
    history.store_string("select '\udcff'")
    history.store_string("select 1")
    assert list(history.load_history_strings()) == ["select 1"]

"""A store that does not answer is waited for: its projector says so, and nothing hides it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from cdc.errors import Fatal, Transient
from projectors.analytics.store import AnalyticsStore
from projectors.read_model import Declarations
from projectors.serving.store import ServingStore
from stack.ports import free


def test_the_serving_store_is_waited_for() -> None:
    store = ServingStore(f"postgresql://nobody@127.0.0.1:{free()[0]}/none", (), Declarations(), shapes={})
    with pytest.raises(Transient, match="does not answer"), contextlib.closing(store):
        store.open()


def test_an_analytics_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "live.duckdb").write_text("not a database, but long enough to be looked at as one" * 100)
    store = AnalyticsStore(tmp_path / "live.duckdb", (), Declarations(), memory_limit="100MB", shapes={})
    with pytest.raises(Fatal, match=r"live\.duckdb"), contextlib.closing(store):
        store.open()

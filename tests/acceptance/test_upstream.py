"""Debezium under readside's supervision loses no row: kills of its worker and cuts of its walsenders, in short."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import upstream
from config.settings import Settings
from tests import directories


@pytest.fixture
def own_directory() -> Iterator[Path]:
    with directories.temporary("upstream") as directory:
        yield directory


def test_kills_and_cuts_lose_and_double_nothing_from_the_slot(own_directory: Path) -> None:
    settings = Settings(data_dir=own_directory, java_class_cache=False)
    findings = upstream.run(settings, kills=3, cuts=3, seed=3, stored=False)
    assert {finding.batch for finding in findings} == {1, 2048}
    for finding in findings:
        assert finding.committed > 100
        assert (finding.lost, finding.unknown, finding.doubled, finding.missed, finding.differences) == (0, 0, 0, 0, 0)

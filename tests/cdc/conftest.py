"""An option for recording what Debezium sends."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record", help="with test_faithful.py: write the zoo's records there (tests/fixtures/debezium/zoo.json.gz)"
    )

"""Acceptance tests run whole stacks, one after the other."""

from __future__ import annotations

import pytest

from tests.backends import chosen_backend, keep_java_classes


@pytest.fixture(scope="session", autouse=True)
def java_classes(pytestconfig: pytest.Config) -> None:
    """Made before the first stack starts."""
    if chosen_backend(pytestconfig) == "native":
        keep_java_classes()

"""The fixtures every test may ask for; each set of them lives in its own module."""

import pytest

pytest_plugins = ["tests.databases", "tests.backends", "tests.distribution", "tests.living"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--histories", type=int, default=500, help="how many random histories the laws are tried on (tests/projectors)"
    )
    parser.addoption(
        "--faults",
        choices=("some", "all"),
        default="some",
        help="which faults of a running stack are tried (tests/acceptance/test_faults.py)",
    )
    parser.addoption("--faults-results", default="", help="file that what each fault came to is written to, as JSON")

"""Two workers for the whole suite: one works on the stack, which waits more than it computes, the other on the rest.

Only one worker ever runs a whole stack, so tests that disturb it do not disturb each other's. Each has a PostgreSQL of its
own. Whoever asks for some tests by name gets them in one process, as pytest always does; ``-n 0`` does so for all.
"""

from __future__ import annotations

import signal

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import NodeManager

from tests import directories
from tests.backends import sharing_modules

#: Modules whose tests run on a whole stack, theirs or everybody's.
STACK = (
    "tests/acceptance/",
    "tests/browser/test_stack.py",
    "tests/cdc/test_control.py",
    "tests/cdc/test_faithful.py",
    "tests/cdc/test_readers.py",
    "tests/cdc/test_reading.py",
    "tests/containers/test_compose.py",
    "tests/stack/dash/test_app.py",
    "tests/stack/test_doctor.py",
    "tests/stack/test_models.py",
    "tests/stack/test_tail.py",
    "tests/stack/test_trace.py",
    "tests/stack/test_whole.py",
)
#: The longest of the others begin first, so that no worker is left alone with one at the end.
LONG = ("tests/projectors/test_laws.py", "tests/mutants/", "tests/projectors/test_rollups.py")
#: Of which any worker may take any test: they share nothing.
APART = ("tests/projectors/test_laws.py",)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many ``-n auto`` means, which pyproject.toml says."""
    chosen = config.option.keyword or config.option.markexpr or config.getoption("lf", False)
    return 2 if config.args_source == pytest.Config.ArgsSource.TESTPATHS and not chosen else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Whole modules, so that what their tests share is made once; everything on the stack is one."""
    return _Scheduling(config, log)  # pyright: ignore[reportArgumentType]


def pytest_configure(config: pytest.Config) -> None:
    """What an earlier run left is removed by the process that was started, not by its workers."""
    # What ends a run that takes too long sends SIGTERM, which would end this process at once and leave everything behind.
    signal.signal(signal.SIGTERM, _interrupt)
    NodeManager.EXIT_TIMEOUT = 60  # s: a worker that is told to end still has a stack to stop
    if not hasattr(config, "workerinput"):
        directories.remove_abandoned()


def pytest_unconfigure(config: pytest.Config) -> None:
    """And so is what this run's workers left, if one of them was killed."""
    if not hasattr(config, "workerinput"):
        directories.remove_abandoned()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares the stack first, so that it can end; then long modules. Other modules, and tests, in pytest-randomly's
    order."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()) and not item.nodeid.startswith(STACK):
            raise pytest.UsageError(f"{item.nodeid} asks for the whole stack; name its module in {__name__}.STACK")
    sharing = sharing_modules(items)
    items.sort(key=lambda item: (_rank(item.nodeid), item.path not in sharing))


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt("SIGTERM")


def _rank(nodeid: str) -> int:
    ranked: tuple[str | tuple[str, ...], ...] = (STACK, *LONG)
    return next((rank for rank, prefix in enumerate(ranked) if nodeid.startswith(prefix)), len(ranked))


class _Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(APART):
            return nodeid
        return "the stack" if nodeid.startswith(STACK) else nodeid.partition("::")[0]

"""The laws of tests.histories for every registered read model, over random histories: no test code per model.

`./readside test` tries 500; `./readside test tests/projectors/test_laws.py --histories 10000 -n 2` as many as one wants.
A history that fails is printed as the calls that make it up; it is kept in test_kept_histories.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from projectors.analytics import refresh
from projectors.serving import statements
from tests.histories import History, Step
from tests.operations import OPERATIONS
from tests.subjects import AnalyticsSubject, ServingSubject

_SERVING_SHARE = 0.85  # of the histories; DuckDB takes longer to open, and holds fewer models
_MOVES = 14  # of one history, at most
_PARTS = 4  # of each store's, each in databases of its own, so that several processes can try them

seeds = st.integers(0, 2**16)
kinds = st.sampled_from(sorted([*OPERATIONS, "copy lines"]))
step = st.builds(Step, kinds, st.integers(1, 4), st.integers(1, 4), undone=st.sampled_from([False, False, False, True]))
steps = st.lists(step, min_size=1, max_size=5)
rarely = st.sampled_from([False, False, False, True])


class HistoryMachine(RuleBasedStateMachine):
    """Chooses the moves of a history."""

    history: ClassVar[History]

    @initialize(seeded=st.sampled_from([True, True, False]))
    def begin(self, seeded: bool) -> None:
        self.history.begin(seeded)

    @rule(transactions=st.lists(st.tuples(steps, rarely), min_size=1, max_size=3))
    def commit(self, transactions: list[tuple[list[Step], bool]]) -> None:
        for made, undone in transactions:
            self.history.commit(*made, undone=undone)

    @rule(steps=steps)
    def slowly(self, steps: list[Step]) -> None:
        self.history.slowly(*steps)

    @rule(undone=rarely)
    def finish(self, undone: bool) -> None:
        self.history.finish(undone)

    @rule(steps=steps, rows=st.integers(0, 6), back=st.integers(0, 3))
    def tear(self, steps: list[Step], rows: int, back: int) -> None:
        self.history.tear(*steps, rows=rows, back=back)

    @rule(back=st.integers(0, 5), count=st.none() | st.integers(1, 5))
    def repeat(self, back: int, count: int | None) -> None:
        self.history.repeat(back, count)

    @rule(times=st.sampled_from([1, 1, 1, 40]))
    def pulse(self, times: int) -> None:
        self.history.pulse(times)

    @rule()
    def resnapshot(self) -> None:
        self.history.resnapshot()

    @rule(seed=seeds, polls=st.integers(1, 30))
    def read(self, seed: int, polls: int) -> None:
        self.history.read(seed, polls)

    @rule(rewind=st.none() | seeds)
    def restart(self, rewind: int | None) -> None:
        self.history.restart(rewind)

    @rule(statements=st.integers(1, 40), seed=seeds)
    def crash(self, statements: int, seed: int) -> None:
        self.history.crash(statements, seed)

    def teardown(self) -> None:
        if sys.exc_info()[0] is None:
            self.history.settle()


class ServingMachine(HistoryMachine):
    """With a second projector, which only a store on a server can have."""

    @rule(steps=steps, seed=seeds)
    def usurp(self, steps: list[Step], seed: int) -> None:
        self.history.usurp(*steps, seed=seed)


@pytest.fixture
def serving_history(shop_database: str, store_database: str, tmp_path: Path) -> Iterator[History]:
    subject = ServingSubject(store_database)
    history = History(shop_database, subject, tmp_path)
    # Composed once, not at every start of a projector: a third of a history's time.
    with patch.object(statements, "mirror_statements", cache(statements.mirror_statements)):
        yield history
    history.close()
    subject.close()


@pytest.fixture
def analytics_history(shop_database: str, tmp_path: Path) -> Iterator[History]:
    history = History(shop_database, AnalyticsSubject(tmp_path), tmp_path)
    # So that what is done some keys at a time in a large store is so done in these small ones.
    with patch.object(refresh, "_MOST_KEYS", 3):
        yield history
    history.close()


def try_histories(machine: type[HistoryMachine], history: History, count: float) -> None:
    bound: Any = type(machine.__name__, (machine,), {"history": history})
    profile = settings(
        max_examples=ceil(count),
        stateful_step_count=_MOVES,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(bound, settings=profile)


@pytest.mark.parametrize("part", range(_PARTS))
def test_serving_store_obeys_the_laws(part: int, serving_history: History, pytestconfig: pytest.Config) -> None:
    histories = pytestconfig.getoption("--histories") * _SERVING_SHARE
    try_histories(ServingMachine, serving_history, histories / _PARTS)


@pytest.mark.parametrize("part", range(_PARTS))
def test_analytics_store_obeys_the_laws(part: int, analytics_history: History, pytestconfig: pytest.Config) -> None:
    histories = pytestconfig.getoption("--histories") * (1 - _SERVING_SHARE)
    try_histories(HistoryMachine, analytics_history, histories / _PARTS)

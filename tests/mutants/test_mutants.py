"""Would the laws notice? Each mutant of the engine breaks at least one of them; the engine itself breaks none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.histories import History
from tests.mutants.lives import LIVES
from tests.mutants.mutants import MUTANTS, Make
from tests.projection import Killed
from tests.subjects import Crash

Life = Callable[[History], None]


def breaks(history: History, life: Life) -> bool:
    """Whether the engine fails this life: a law is broken, or it cannot go on at all."""
    try:
        history.begin()
        life(history)
    except (Exception, Crash, Killed):
        return True
    return False


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
def test_the_engine_lives_it(history: History, life: Life) -> None:
    history.begin()
    life(history)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_mutant_does_not_survive(history: History, mutant: Make) -> None:
    with mutant():
        caught = any(breaks(history, life) for life in LIVES)
    assert caught, f"{mutant.__name__} obeys every law in every life"


def test_there_are_enough_of_them() -> None:
    assert len(MUTANTS) >= 12
    assert len({mutant.__name__ for mutant in MUTANTS}) == len(MUTANTS)

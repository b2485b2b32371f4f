"""The analytics projector, killed again and again at any moment while everything else runs on under load."""

from __future__ import annotations

from config.settings import Settings
from stack import kills
from stack.demo import running
from tests import directories

SEED = 4711


def test_fifty_kills_of_the_analytics_projector_tear_lose_and_double_nothing() -> None:
    with (
        directories.temporary("kills") as directory,
        running(
            Settings(data_dir=directory, java_class_cache=False, analytics_nice=0), only=kills.OTHERS, ports="auto"
        ) as stack,
    ):
        outcome = kills.disturb(stack, kills=50, seed=SEED)
    assert outcome.clean, outcome
    assert outcome.starting > 10
    assert len(outcome.at_work) > 10
    assert outcome.sight.looks > 50
    assert outcome.judgement is not None
    assert all(verdict.rows > 0 for verdict in outcome.judgement.models)

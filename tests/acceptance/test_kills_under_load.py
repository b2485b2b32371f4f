"""Faults in every process under load, and the oracle: nothing lost, doubled, torn or different."""

from __future__ import annotations

import pytest

from stack import chaos
from stack.verification import verdicts_of
from tests.backends import Native, Stack
from tests.traffic import under_load

KILLED = ("projector-serving", "connect", "kafka", "postgres", "projector-analytics")
#: Kills of the projectors, kafka, connect and postgres, a cut of the walsender, a pause of the writer.
SEED = 5891


def test_chaos_finds_nothing(stack: Stack) -> None:
    if not isinstance(stack, Native):
        pytest.skip("faults are done to processes by pid; the next test is for stacks elsewhere")
    stack.wait_healthy()
    outcome = chaos.disturb(stack.settings, cycles=7, seed=SEED)
    assert outcome.clean, outcome
    assert {str(cycle.fault).split(" for ")[0] for cycle in outcome.cycles} >= {f"SIGKILL {name}" for name in KILLED}
    assert outcome.report.done["place_order"] > 20, outcome.report
    assert len(outcome.ledger.acknowledged) > 20
    assert outcome.sight.looks > 20
    assert outcome.judgement is not None
    assert all(verdict.rows > 0 for verdict in outcome.judgement.models)


def test_killing_every_process_under_load_loses_and_doubles_nothing(stack: Stack) -> None:
    if isinstance(stack, Native):
        pytest.skip("chaos has done this to the native stack, and more")
    stack.wait_healthy()
    with under_load(stack, seed=4242, rate=30, users=30, products=20) as load:
        for component in KILLED:
            stack.kill(component)
            stack.wait_healthy(120)
    assert load.report.done["place_order"] > 20, load.report
    verdicts = verdicts_of(stack.settings)
    assert [verdict for verdict in verdicts if verdict.differences] == []
    assert all(verdict.rows > 0 for verdict in verdicts)

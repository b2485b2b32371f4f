"""Faults in every process under load, and the oracle: nothing lost, doubled, torn or different."""

from __future__ import annotations

import threading

import pytest

from stack import chaos
from stack.load import Load
from stack.verification import verdicts_of
from tests.backends import Native, Stack

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
    failed: list[BaseException] = []
    load = Load(f"http://{stack.settings.writer_address}", seed=4242, rate=30, workers=3)
    load.prepare(users=30, products=20)

    def work() -> None:
        try:
            load.run(600)
        except BaseException as exc:
            failed.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for component in KILLED:
            stack.kill(component)
            stack.wait_healthy(120)
    finally:
        load.stop()
        thread.join()
    assert not failed, failed
    assert load.report.done["place_order"] > 20, load.report
    verdicts = verdicts_of(stack.settings)
    assert [verdict for verdict in verdicts if verdict.differences] == []
    assert all(verdict.rows > 0 for verdict in verdicts)

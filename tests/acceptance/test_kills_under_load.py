"""Each process is killed once under load; the system comes back by itself, every read model equal to the source."""

from __future__ import annotations

import threading

from projectors import registry
from projectors.verify import oracle_of, verify
from stack.load import Load
from tests.backends import Stack

KILLED = ("projector-serving", "connect", "kafka", "postgres", "projector-analytics")


def test_killing_every_process_under_load_loses_and_doubles_nothing(stack: Stack) -> None:
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
    verdicts = [
        verify(stack.settings, oracle_of(model, stack.settings.models))
        for model in registry.load(stack.settings.models).read_models
    ]
    assert [verdict for verdict in verdicts if verdict.differences] == []
    assert all(verdict.rows > 0 for verdict in verdicts)

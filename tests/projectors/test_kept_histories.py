"""Histories that broke a law once; each as test_laws.py printed it."""

from __future__ import annotations

from tests.histories import History, Step


def test_rows_repeated_before_a_snapshot_is_loaded_are_accounted_for(history: History) -> None:
    history.begin()
    for _ in range(7):
        history.resnapshot()
    history.commit(Step("cancel", 1, 1), Step("cancel", 2, 1))
    history.repeat(0)
    history.resnapshot()
    history.usurp(Step("cancel", 1, 1), seed=0)


def test_what_was_read_before_a_snapshot_of_nothing_is_not_waited_for(history: History) -> None:
    """An empty snapshot has no position, so a transaction before it looked like a later one."""
    history.begin(seeded=False)
    for _ in range(5):
        history.resnapshot()
    history.commit(Step("truncate all"))
    history.resnapshot()
    history.pulse(1)
    history.restart(rewind=0)
    history.settle()


def test_what_is_read_before_a_snapshot_while_it_is_loaded_is_not_waited_for(history: History) -> None:
    history.begin(seeded=False)
    history.resnapshot()
    history.restart(rewind=0)
    history.tear(Step("truncate all"), rows=0, back=0)
    history.resnapshot()
    history.pulse(1)
    history.settle()


def test_rows_of_an_earlier_snapshot_that_are_read_once_more_are_not_of_the_one_that_is_loaded(
    history: History,
) -> None:
    history.begin()
    for _ in range(3):
        history.resnapshot()
    history.commit(Step("cancel", 1, 1), Step("capture", 1, 1), Step("delete line", 1, 1))
    history.restart(rewind=0)
    history.commit(Step("copy lines", 1, 1))
    history.resnapshot()
    history.settle()

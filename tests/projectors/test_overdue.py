"""Rows that may still be to come, though every partition of their table was read past them."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from cdc.assembler import Assembler
from projectors import overdue
from projectors.overdue import Overdue
from tests.cdc.test_assembler import change, end

ENDS, FIRST, SECOND = ("t.transaction", 0), ("t.public.a", 0), ("t.public.a", 1)


@pytest.fixture
def assembler() -> Assembler:
    """Of a connector whose first life ended when it had sent 8's row, and not 7's, which was for the other partition."""
    assembler = Assembler(["public.a"], "t.transaction")
    assembler.add_end(ENDS, 0, end(6, 10, 0))
    assembler.take(1)
    assembler.add(SECOND, 0, change(8, 1, lsn=25, previous_end=20))
    assembler.add_end(ENDS, 1, end(7, 20, 1))
    assembler.add_end(ENDS, 2, end(8, 30, 1))
    assembler.add(FIRST, 0, change(9, 1, lsn=35, previous_end=30))
    assert assembler.read_past(lambda _: [FIRST, SECOND]) == (7, "public.a")
    return assembler


@pytest.fixture
def reader() -> Any:
    """Of topics with one record in the first partition and two in the second."""
    return Mock(end_offsets=lambda _: {FIRST: 1, SECOND: 2}, partitions=lambda _: [FIRST, SECOND])


def test_a_row_that_is_sent_again_to_another_partition_is_waited_for(
    assembler: Assembler, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overdue, "_AFTER_S", 0.0)
    watch = Overdue({"public.a": "t.public.a"})
    assert watch.lost(assembler, [FIRST, SECOND], reader) is None, "there is more in the second partition"
    assembler.add(SECOND, 1, change(7, 1, lsn=15, previous_end=10))
    assert watch.lost(assembler, [FIRST, SECOND], reader) is None
    assert [transaction.xid for transaction in assembler.take(2)] == [7, 8]


def test_what_a_connector_may_still_be_sending_is_waited_for(
    assembler: Assembler, reader: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(overdue.time, "monotonic", lambda: now[0])
    watch = Overdue({"public.a": "t.public.a"})
    assembler.passed(SECOND, 1)
    for now[0] in (0.0, 120.0, 149.0):
        assert watch.lost(assembler, [FIRST, SECOND], reader) is None
    now[0] = 151.0
    told = "transaction 7 lacks rows of public.a, and later ones of every partition were read: Kafka lost them"
    assert watch.lost(assembler, [FIRST, SECOND], reader) == told

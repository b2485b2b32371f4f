"""The assembler alone: what is handed out, when, and what is recognised as said before."""

from __future__ import annotations

import pytest

from cdc.assembler import Assembler
from cdc.change import Change, End
from cdc.errors import HistoryLost, SourceChanged

ROWS, END = ("t.public.a", 0), ("t.transaction", 0)


def change(xid: int, order: int, *, lsn: int, previous_end: int | None, table: str = "public.a") -> Change:
    return Change(
        table=table,
        op="c",
        key=b'{"id":%d}' % order,
        row=b'{"id":%d}' % order,
        partial=False,
        old_key=None,
        xid=xid,
        order=order,
        lsn=lsn,
        previous_end=previous_end,
        committed_us=0,
    )


def end(xid: int, end_lsn: int, count: int) -> End:
    return End(xid=xid, end_lsn=end_lsn, counts={"public.a": count, "public.elsewhere": 3}, committed_us=0)


@pytest.fixture
def assembler() -> Assembler:
    return Assembler(["public.a"], "t.transaction")


def xids(assembler: Assembler) -> list[int]:
    return [transaction.xid for transaction in assembler.take(1000)]


def test_a_transaction_is_held_until_its_end_and_all_its_rows_are_there(assembler):
    assembler.add(ROWS, 0, change(7, 1, lsn=10, previous_end=5))
    assert xids(assembler) == []
    assembler.add_end(END, 1, end(7, 20, 2))
    assert xids(assembler) == []
    assembler.add(ROWS, 1, change(7, 2, lsn=11, previous_end=5))
    assert xids(assembler) == [7]


def test_commit_order_is_kept_though_a_later_transaction_is_whole_first(assembler):
    assembler.add(ROWS, 0, change(8, 1, lsn=15, previous_end=20))
    assembler.add_end(END, 0, end(7, 20, 1))
    assembler.add_end(END, 1, end(8, 30, 1))
    assert xids(assembler) == []
    assembler.add(ROWS, 1, change(7, 1, lsn=16, previous_end=5))
    assert xids(assembler) == [7, 8]


def test_a_transaction_without_rows_read_here_moves_the_position(assembler):
    assembler.add_end(END, 0, End(xid=9, end_lsn=40, counts={}, committed_us=0))
    assert xids(assembler) == [9]
    assert assembler.end_lsn == 40


def test_a_prefix_and_then_the_whole_transaction_is_one_transaction(assembler):
    assembler.add(ROWS, 0, change(7, 1, lsn=10, previous_end=5))  # and the connector died
    for offset, order in ((1, 1), (2, 2)):
        assembler.add(ROWS, offset, change(7, order, lsn=9 + order, previous_end=None))
    assembler.add_end(END, 0, end(7, 20, 2))
    [transaction] = assembler.take(1000)
    assert [c.order for c in transaction.changes] == [1, 2]
    assert sum(assembler.repeated.values()) == 1


def test_a_repeated_transaction_is_recognised_whatever_comes_first(assembler):
    assembler.add(ROWS, 0, change(7, 1, lsn=10, previous_end=5))
    assembler.add_end(END, 0, end(7, 20, 1))
    assert xids(assembler) == [7]
    assembler.add(ROWS, 1, change(7, 1, lsn=10, previous_end=None))
    assembler.add_end(END, 1, end(7, 20, 1))
    assembler.add(ROWS, 2, change(7, 1, lsn=10, previous_end=5))
    assert xids(assembler) == []
    assert assembler.restart_offsets() == {ROWS: 3, END: 2}


def test_reading_on_from_its_state_misses_and_repeats_nothing(assembler):
    assembler.add(ROWS, 0, change(7, 1, lsn=10, previous_end=5))
    assembler.add(ROWS, 1, change(8, 1, lsn=21, previous_end=20))
    assembler.add_end(END, 0, end(7, 20, 1))
    assert xids(assembler) == [7]
    resumed = Assembler(["public.a"], "t.transaction", assembler.state())
    assert resumed.restart_offsets() == assembler.restart_offsets() == {ROWS: 1, END: 1}
    resumed.add(ROWS, 0, change(7, 1, lsn=10, previous_end=None))  # behind the frontier, of a finished transaction
    resumed.add(ROWS, 1, change(8, 1, lsn=21, previous_end=20))
    resumed.add_end(END, 1, end(8, 30, 1))
    assert xids(resumed) == [8]


def test_a_checkpoint_made_before_pending_rows_are_read_again_still_leads_to_them(assembler):
    assembler.add(ROWS, 0, change(8, 1, lsn=21, previous_end=20))
    resumed = Assembler(["public.a"], "t.transaction", assembler.state())
    resumed.add_end(END, 0, end(7, 20, 0))  # an earlier transaction without rows here: handed out, checkpointed
    assert xids(resumed) == [7]
    again = Assembler(["public.a"], "t.transaction", resumed.state())
    assert again.restart_offsets()[ROWS] == 0
    again.add(ROWS, 0, change(8, 1, lsn=21, previous_end=20))
    again.add_end(END, 1, end(8, 30, 1))
    assert xids(again) == [8]


def test_a_large_transaction_is_handed_out_in_order_and_only_once_iterated_or_twice(tmp_path):
    assembler = Assembler(["public.a"], "t.transaction", spool=tmp_path / "spool", most_in_memory=3)
    made = [change(7, order, lsn=10, previous_end=5) for order in range(1, 11)]
    for offset, one in enumerate([*made[5:], *made[:7]]):  # two partitions' worth of interleaving, and two repeats
        assembler.add(ROWS, offset, one)
    assembler.add_end(END, 0, end(7, 20, 10))
    [transaction] = assembler.take(1000)
    assert list(transaction.changes) == list(transaction.changes) == made
    assert len(transaction.changes) == 10
    assert sum(assembler.repeated.values()) == 2
    assert list((tmp_path / "spool").iterdir()) == [], "the file has no name, so it cannot outlive the process"


def test_more_rows_than_end_counts_is_an_error_that_says_what_to_do(assembler):
    for order in (1, 2):
        assembler.add(ROWS, order, change(7, order, lsn=10, previous_end=5))
    assembler.add_end(END, 0, end(7, 20, 1))
    with pytest.raises(SourceChanged, match="did not start at its slot"):
        assembler.take(1000)


def test_a_row_that_names_a_predecessor_which_never_came_is_history_lost(assembler):
    assembler.add(ROWS, 0, change(7, 1, lsn=10, previous_end=5))
    assembler.add_end(END, 0, end(7, 20, 1))
    assert xids(assembler) == [7], "the first one behind a snapshot names one that was never in Kafka"
    assembler.add(ROWS, 1, change(9, 1, lsn=35, previous_end=30))
    assembler.add_end(END, 1, end(9, 40, 1))
    with pytest.raises(HistoryLost, match="follows one that ended at 0/1E, and the last one in Kafka ended at 0/14"):
        assembler.take(1000)


def test_a_known_transaction_with_another_end_is_another_state_of_the_source(assembler):
    assembler.add_end(END, 0, end(7, 20, 0))
    assert xids(assembler) == [7]
    assembler.add_end(END, 1, end(7, 20, 0))  # sent again
    resumed = Assembler(["public.a"], "t.transaction", assembler.state())
    with pytest.raises(SourceChanged, match="another state of the source was restored"):
        resumed.add_end(END, 2, end(7, 18, 0))

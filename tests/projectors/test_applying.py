"""Batches that are applied beside the reading, and when they are taken: order, failure, and how many may wait."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from cdc.assembler import Transaction
from cdc.change import Change
from cdc.reader import Record
from cdc.spool import Rows
from projectors import applying, pace
from projectors.applying import Applying, Ready
from projectors.checkpoint import Checkpoint
from projectors.pace import Pace, Rhythm

_PATIENCE_S = 10.0
_LARGE = 501
_THERE = Checkpoint(phase="streaming", end_lsn=0, committed_us=None, changes=0, rate=0.0, state={})


class _Store:
    """Remembers what was prepared and applied; a batch is applied when it is let."""

    def __init__(self, *, fails: int | None = None) -> None:
        """``fails``: the xid of the batch that does; no batch then has to be let."""
        self.prepared: list[int] = []
        self.applied: list[int] = []
        self.fails = fails
        self.may = threading.Semaphore(0 if fails is None else 10)

    def prepare(self, transactions: Sequence[Transaction]) -> Ready:
        [transaction] = transactions
        self.prepared.append(transaction.xid)
        return lambda _checkpoint: None

    def apply(self, ready: Ready, transactions: Sequence[Transaction], checkpoint: Checkpoint) -> None:
        assert self.may.acquire(timeout=_PATIENCE_S)
        ready(checkpoint)
        [transaction] = transactions
        if transaction.xid == self.fails:
            raise LookupError(transaction.xid)
        self.applied.append(transaction.xid)


def _batch(xid: int, changes: int) -> list[Transaction]:
    rows = Rows(changes, None)
    for order in range(1, changes + 1):
        rows.add(Change("public.t", "c", b"{}", b"{}", partial=False, old_key=None, xid=xid, order=order, lsn=1,
                        previous_end=None, committed_us=0))  # fmt: skip
    return [Transaction(xid, xid, 0, rows)]


def test_one_is_applied_one_waits_and_both_in_order() -> None:
    store = _Store()
    with Applying(store.prepare, store.apply) as beside:
        assert beside.idle
        beside.apply(_batch(1, _LARGE), _THERE)
        assert not beside.idle
        assert not beside.full
        beside.apply(_batch(2, _LARGE), _THERE)
        assert beside.full
        assert store.prepared == [1, 2]
        assert store.applied == []
        store.may.release(2)
        beside.finish()
        assert beside.idle
        assert store.applied == [1, 2]


def test_a_third_waits_for_the_first() -> None:
    store = _Store()
    with Applying(store.prepare, store.apply) as beside:
        beside.apply(_batch(1, _LARGE), _THERE)
        beside.apply(_batch(2, _LARGE), _THERE)
        threading.Timer(0.05, store.may.release).start()
        beside.apply(_batch(3, _LARGE), _THERE)
        assert store.applied == [1]
        store.may.release(2)
    assert store.applied == [1, 2, 3]  # leaving waits for them


def test_a_small_batch_is_applied_behind_those_under_way() -> None:
    store = _Store()
    with Applying(store.prepare, store.apply) as beside:
        beside.apply(_batch(1, _LARGE), _THERE)
        store.may.release(2)
        beside.apply(_batch(2, 1), _THERE)
        assert store.applied == [1, 2]


@pytest.mark.parametrize("changes", [1, _LARGE], ids=["small", "large"])
def test_nothing_is_applied_behind_a_batch_that_failed(changes: int) -> None:
    store = _Store(fails=1)
    with pytest.raises(LookupError), Applying(store.prepare, store.apply) as beside:
        beside.apply(_batch(1, _LARGE), _THERE)
        beside.apply(_batch(2, changes), _THERE)
        beside.finish()
    assert store.applied == []


def test_leaving_raises_what_a_batch_raised() -> None:
    store = _Store(fails=2)
    with pytest.raises(LookupError), Applying(store.prepare, store.apply) as beside:
        beside.apply(_batch(1, _LARGE), _THERE)
        beside.apply(_batch(2, _LARGE), _THERE)
    assert store.applied == [1]


def _record(value: bytes) -> Record:
    return Record(("t", 0), 0, None, value, [])


class _Busy:
    """Applying, as pace sees it."""

    def __init__(self, *, idle: bool, full: bool = False) -> None:
        self.idle, self.full = idle, full


class _Read(NamedTuple):
    """An assembler, as pace sees it."""

    buffered: int
    whole: int


_FEW, _SOME, _MANY, _TOO_MANY = _Read(3, 3), _Read(50_000, 5_000), _Read(50_000, 10_000), _Read(100_001, 10_000)


@pytest.mark.parametrize(
    ("idle", "full", "records", "read", "ahead", "takes"),
    [
        (True, False, 3, _FEW, True, True),  # a quiet stream: at once
        (True, False, 5_000, _SOME, True, False),  # more is at hand
        (True, False, 5_000, _MANY, True, True),
        (False, False, 3, _FEW, True, False),  # what comes in beside a batch is of the next one
        (False, False, 5_000, _SOME, True, False),  # however much waits for rows of other topics
        (False, False, 5_000, _MANY, True, True),
        (False, False, 5_000, _MANY, False, False),  # what is parked by the one under way decides
        (False, True, 5_000, _MANY, True, False),  # two are under way: reading goes on
        (False, True, 5_000, _TOO_MANY, False, True),  # no room for more: it has to be waited for
        (False, True, 5_000, _Read(100_001, 9_999), True, False),  # but for what they lack: that is what is read on
    ],
)
def test_when_a_batch_is_taken(
    idle: bool,
    full: bool,
    records: int,
    read: _Read,
    ahead: bool,
    takes: bool,
) -> None:
    one = Pace(batch_changes=10_000, buffered_changes=100_000)
    assert one.looks_for_letters()
    one.polled([_record(b"{}")] * records)
    assert one.takes(_Busy(idle=idle, full=full), read, ahead=ahead) is takes


def test_a_backlog_is_read_without_rest_and_a_quiet_stream_rests_between_commits() -> None:
    one = Pace(batch_changes=10_000, buffered_changes=100_000, rhythm=Rhythm(commits_s=60.0))
    assert one.rest_s(0) == 0.0
    one.taken()
    assert 59.0 < one.rest_s(0) <= 60.0
    assert one.rest_s(10_000) == 0.0
    one.polled([_record(b"{}")] * 5_000)
    assert one.rest_s(0) == 0.0
    one.polled([_record(b"{}")] * 10)
    assert one.rest_s(0) > 59.0
    one.polled([_record(bytes(100_000))] * 3)  # few, but wide: a fetch was full
    assert one.rest_s(0) == 0.0


def test_a_store_with_nothing_to_do_waits_for_more_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    # The backlog of other tables' transactions: END after END is read, and no change is buffered.
    for longest_s, takes in ((60.0, False), (0.0, True)):
        monkeypatch.setattr(pace, "_GATHER_S", longest_s)
        one = Pace(batch_changes=10_000, buffered_changes=100_000)
        one.polled([_record(b"{}")] * 5_000)
        assert one.takes(_Busy(idle=True), _Read(0, 0), ahead=True) is takes


def test_batches_that_follow_one_another_end_now_and_then_for_somebody_to_look_around() -> None:
    one = Pace(batch_changes=10_000, buffered_changes=100_000, rhythm=Rhythm(looks_s=60.0))
    one.polled([_record(b"{}")] * 5_000)
    for read in (_MANY, _TOO_MANY):
        assert not one.takes(_Busy(idle=False), read, ahead=True)  # nobody has looked yet
        assert one.takes(_Busy(idle=True), read, ahead=True)
    assert one.looks_for_letters()
    assert not one.looks_for_letters()
    for read in (_MANY, _TOO_MANY):
        assert one.takes(_Busy(idle=False), read, ahead=True)


def test_what_counts_as_large_is_what_these_tests_call_so() -> None:
    assert applying._FEW_CHANGES == _LARGE - 1  # pyright: ignore[reportPrivateUsage]

"""Two readers that take turns, on a scripted log: everything is read once, in order, and of the same topics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc import backlog
from cdc.backlog import BacklogReader
from cdc.errors import SourceChanged, Transient
from cdc.partitions import Partition
from cdc.reader import Decoded, Record, more_at_hand
from tests.scripted import ScriptedLog, ScriptedReader

PARTITIONS: tuple[Partition, ...] = (("a", 0), ("a", 1), ("b", 0))


class _Process(ScriptedReader):
    """A reader that begins when it is told to, reads ahead while much comes, and counts itself."""

    running = 0

    def __init__(self, log: ScriptedLog, *, ready: bool) -> None:
        super().__init__(log, lambda unread: (unread[0], 2_000))
        self.ready = ready
        self.dead = False
        self._kept: list[Record | Decoded] = []
        _Process.running += 1

    @property
    def ahead(self) -> bool:
        return bool(self._kept)

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        if self.dead:
            raise Transient("it has ended")
        super().assign(offsets)
        self._kept = []

    def poll(self, timeout_s: float, most_records: int) -> list[Record | Decoded]:
        if self.dead:
            raise Transient("it has ended")
        polled, self._kept = self._kept or super().poll(timeout_s, most_records), []
        if more_at_hand(polled):
            self._kept = super().poll(timeout_s, most_records)
        return polled

    def close(self) -> None:
        _Process.running -= 1


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    """Quiet is noticed at the next poll; and no process is left."""
    _Process.running = 0
    with patch.object(backlog, "_QUIET_S", -1.0):
        yield
    assert _Process.running == 0


def _log(records: int) -> ScriptedLog:
    log = ScriptedLog(())
    log.partitions = {partition: [] for partition in PARTITIONS}
    log.topic_ids = {"a": "id of a", "b": "id of b"}
    for partition in PARTITIONS:
        _add(log, partition, records)
    return log


def _add(log: ScriptedLog, partition: Partition, count: int) -> None:
    records = log.partitions[partition]
    first = len(records)
    records += [Record(partition, offset, None, b"", []) for offset in range(first, first + count)]


def _assigned(log: ScriptedLog, start: Callable[[], _Process]) -> BacklogReader:
    """A reader of the whole log."""
    reader = BacklogReader(ScriptedReader(log, lambda unread: (unread[0], 2_000)), start, backlog=5_000)
    reader.assign(dict.fromkeys(PARTITIONS, 0))
    return reader


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.sampled_from(("poll", "poll", "ready", "dies", "all")),
            st.tuples(st.sampled_from(PARTITIONS), st.integers(1, 9_000)),
            st.sets(st.sampled_from(PARTITIONS)),
        ),
        max_size=60,
    ),
    records=st.integers(0, 9_000),
)
def test_everything_is_read_once_and_in_order_whoever_reads(
    steps: list[str | tuple[Partition, int] | set[Partition]], records: int
) -> None:
    log, started = _log(records), list[_Process]()

    def start() -> _Process:
        started.append(_Process(log, ready=False))
        return started[-1]

    seen: dict[Partition, list[int]] = {partition: [] for partition in PARTITIONS}

    def take(polled: list[Record | Decoded]) -> int:
        for record in polled:
            seen[record.partition].append(record.offset)
        return len(polled)

    reader = _assigned(log, start)
    try:
        for step in steps:
            if step == "ready":
                for each in started:
                    each.ready = True
            elif step == "dies":
                for each in started:
                    each.ready = each.dead = True
            elif step == "all" or isinstance(step, set):
                reader.only(None if isinstance(step, str) else step)
            elif isinstance(step, tuple):
                _add(log, *step)
            else:
                take([*reader.poll(0.0, 5_000)])
        reader.only(None)
        for each in started:
            each.ready = True
        quiet = 0
        while quiet < 5:
            quiet = 0 if take([*reader.poll(0.0, 5_000)]) else quiet + 1
    finally:
        reader.close()
    assert seen == {partition: list(range(len(log.partitions[partition]))) for partition in PARTITIONS}


def test_a_backlog_is_begun_by_a_process_and_ended_here() -> None:
    log = _log(3_000)
    reader = _assigned(log, lambda: _Process(log, ready=True))
    assert _Process.running == 1
    while reader.poll(0.0, 5_000):
        pass
    for _ in range(2):
        reader.poll(0.0, 5_000)
    assert _Process.running == 0
    reader.close()


def test_small_polls_do_not_end_a_backlog() -> None:
    log = _log(30_000)
    reader = _assigned(log, lambda: _Process(log, ready=True))
    for _ in range(3):
        reader.poll(0.0, 5_000)
    reader.only([])
    reader.poll(0.0, 5_000)  # what was read ahead
    for _ in range(10):
        assert not reader.poll(0.0, 5_000)
    assert _Process.running == 1
    reader.close()


def test_a_stream_that_runs_ahead_becomes_a_backlog() -> None:
    log = _log(0)
    reader = _assigned(log, lambda: _Process(log, ready=True))
    for _ in range(2):
        assert not reader.poll(0.0, 5_000)
    _add(log, ("a", 0), 20_000)
    for _ in range(4):
        reader.poll(0.0, 5_000)
    assert _Process.running == 1
    reader.close()


def test_what_ails_the_reader_here_is_not_laid_to_the_process_that_begins(caplog: pytest.LogCaptureFixture) -> None:
    log = _log(4_000)
    reader = _assigned(log, lambda: _Process(log, ready=False))
    with patch.object(ScriptedReader, "poll", side_effect=Transient("Kafka does not answer")), pytest.raises(Transient):
        reader.poll(0.0, 5_000)
    assert (_Process.running, caplog.records) == (1, [])
    reader.close()


def test_where_no_process_can_be_started_it_is_read_here() -> None:
    def start() -> _Process:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    log = _log(9_000)
    reader = _assigned(log, start)
    read = 0
    while polled := reader.poll(0.0, 5_000):
        read += len(polled)
    reader.close()
    assert read == 27_000


@pytest.mark.parametrize("reading", ["near", "far"])
def test_a_topic_made_anew_since_it_was_assigned_is_noticed_when_another_one_goes_on_reading(reading: str) -> None:
    """Each reader compares with what it saw when it was assigned itself."""
    log = _log(9_000)
    process = _Process(log, ready=reading == "far")
    reader = _assigned(log, lambda: process)
    reader.poll(0.0, 5_000)
    log.topic_ids["b"] = "another"
    process.ready = True
    with pytest.raises(SourceChanged, match="topic b was deleted and made anew"):
        for _ in range(100):
            reader.poll(0.0, 5_000)
    reader.close()


def test_partitions_that_were_added_while_the_process_read_are_noticed_at_its_end() -> None:
    log = _log(9_000)
    reader = _assigned(log, lambda: _Process(log, ready=True))
    reader.poll(0.0, 5_000)
    log.partitions["b", 1] = []
    with pytest.raises(Transient, match="topic b has 2 partitions instead of 1"):
        for _ in range(100):
            reader.poll(0.0, 5_000)
    reader.close()

"""Processes that are forked to run a statement: when they must wait, and what is left of them when they cannot begin."""

from __future__ import annotations

import os
import threading
import time
from typing import BinaryIO

import pytest

from projectors.analytics.confined import Busy, Confinement, Limits
from projectors.analytics.quiet import Quiet


def said(result: BinaryIO) -> None:
    result.write(b"said")


def slow(result: BinaryIO) -> None:
    time.sleep(1)
    result.write(b"slow")


def test_who_waited_for_a_checkpoint_that_nobody_makes_has_all_of_its_time_then() -> None:
    confinement = Confinement(Quiet(), Limits(seconds=3), keep=[])
    thread = threading.Thread(target=confinement.run, args=(slow,))
    thread.start()
    while not confinement._pids:
        time.sleep(0.01)
    with confinement.none_alive() as none:  # as after a commit, which is the last one
        assert not none
    assert confinement.run(said) == b"said"
    thread.join()


def test_a_process_that_cannot_begin_leaves_no_file_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    confinement = Confinement(Quiet(), Limits(), keep=[])
    before = sorted(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "fork", refused)
    for _ in range(3):
        with pytest.raises(Busy):
            confinement.run(said)
    monkeypatch.undo()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert confinement.run(said) == b"said"

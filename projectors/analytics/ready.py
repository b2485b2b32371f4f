"""Answers of the store's own statements that are kept ready: half of such an answer's time is DuckDB's planning, and while
the store is written, most of the rest is waiting for a processor.

An answer changes only with a commit. One that was asked for since it was computed is computed anew behind each commit, in
a thread of its own; until it is there, whoever asks is given the one before, which says itself of which moment it is. So
nothing is computed more often than it was asked for.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import duckdb
import msgspec

from projectors.analytics.answering import answer
from projectors.analytics.sql import Answer, Refused
from projectors.analytics.statements import STATEMENTS, Parameters
from projectors.analytics.store import AnalyticsStore
from projectors.checkpoint import lsn_value

_MOST = 16  # answers
_MOST_BYTES = 1 << 20  # of one answer; a larger one is not kept
#: For so long beyond the time from one commit to the next an answer is given that is not of the newest one.
_BEYOND_S = 1.0
_LOOK_S = 0.1  # after an answer that was out of date was given, until it is noticed


class Question(NamedTuple):
    """What a statement is asked with."""

    name: str  #: in STATEMENTS
    parameters: bytes  #: JSON, the members by name

    @classmethod
    def of(cls, name: str, parameters: Parameters) -> Question:
        """``parameters``: by name, from JSON."""
        return cls(name, msgspec.json.encode(parameters, order="deterministic"))


@dataclass(slots=True)
class _Kept:
    answer: Answer
    commits: int  #: of the store when computing it began, so it shows these at least
    began: float  #: time.monotonic()
    asked: bool = False  #: since then

    @property
    def order(self) -> tuple[int, int]:
        return self.commits, lsn_value(self.answer.head.end_lsn)


class ReadyAnswers:
    """Of one store, for any number of threads that ask."""

    def __init__(self, store: AnalyticsStore, *, timeout_s: float, interval_s: float) -> None:
        """``timeout_s``: longest run of a statement; ``interval_s``: the time from one commit to the next."""
        self._store = store
        self._timeout_s = timeout_s
        self._shown_s = interval_s + _BEYOND_S
        self._lock = threading.Lock()
        self._kept: OrderedDict[Question, _Kept] = OrderedDict()  # the one asked for last at the end
        self._closing = threading.Event()

    def find(self, question: Question, least_lsn: int = 0) -> Answer | None:
        """An answer that is kept, from the store as it is or as it was a moment ago, at ``least_lsn`` or later."""
        with self._lock:
            if (kept := self._kept.get(question)) is None:
                return None
            if not self._recent(kept) or lsn_value(kept.answer.head.end_lsn) < least_lsn:
                return None
            kept.asked = True
            self._kept.move_to_end(question)
            return kept.answer

    def compute(self, question: Question) -> Answer:
        """The answer from the store as it is, which is kept. Raises Refused."""
        commits, began = self._store.commits, time.monotonic()
        parameters = msgspec.json.decode(question.parameters)
        found = answer(self._store, STATEMENTS[question.name], parameters, timeout_s=self._timeout_s)
        if len(found.body) <= _MOST_BYTES:
            self._keep(question, _Kept(found, commits, began))
        return found

    @contextmanager
    def renewing(self) -> Generator[None]:
        """Compute anew what is asked for, behind each commit, for as long as the block runs."""
        thread = threading.Thread(target=self._renew, name="ready answers", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._closing.set()
            thread.join(5.0)

    def _recent(self, kept: _Kept) -> bool:
        """Whether it is of the newest commit, or was until a moment ago."""
        behind = self._store.commits - kept.commits
        superseded_at = self._store.committed_at if behind == 1 else kept.began  # at the earliest
        return behind == 0 or time.monotonic() - superseded_at <= self._shown_s

    def _keep(self, question: Question, made: _Kept) -> None:
        with self._lock:
            if (before := self._kept.get(question)) is not None:
                if made.order < before.order:
                    return  # two were computed at once
                made.asked = before.asked
            self._kept[question] = made
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)

    def _renew(self) -> None:
        while not self._closing.is_set():
            commits = self._store.commits
            for question in self._due():
                if self._closing.is_set():
                    return
                try:
                    self.compute(question)
                except (Refused, duckdb.Error):  # whoever asks next hears why
                    self._forget(question)
            self._await_commit_after(commits)

    def _await_commit_after(self, commits: int) -> None:
        self._store.wait_for(lambda: self._store.commits != commits, _LOOK_S)

    def _due(self) -> Sequence[Question]:
        """Asked for since they were computed, and of an earlier commit; the one asked for last first."""
        with self._lock:
            due = [
                question for question, kept in self._kept.items() if kept.asked and kept.commits != self._store.commits
            ]
            for question in due:
                self._kept[question].asked = False
        return due[::-1]

    def _forget(self, question: Question) -> None:
        with self._lock:
            self._kept.pop(question, None)

"""A projector's catch-up: one store's, with every registered read model, from the topics' beginning.

``python -m benchmarks.projection serving|analytics|replay END_LSN`` (settings from the environment, with a store of its own;
the analytics store is a file in the working directory) projects until the store stands at that position and prints ``changes
seconds``: seconds of streaming, the snapshot's load aside. ``replay`` is what `readside rebuild --from kafka` does: the
mirror alone.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, cast

from cdc.assembler import Transaction
from cdc.catalog import Table
from cdc.change import Change
from config.settings import Settings
from projectors import registry
from projectors.analytics.store import AnalyticsStore
from projectors.checkpoint import Checkpoint, lsn_value
from projectors.loop import Projector
from projectors.pace import AT_ONCE, Rhythm
from projectors.read_model import Declarations
from projectors.run import captured_shapes, captured_tables, open_reader, settle
from projectors.serving.store import ServingStore


class _Timed:
    """A store that remembers when it was first and last moved."""

    began = ended = 0.0
    changes = 0

    def stop_at(self, end_lsn: int, stop: threading.Event) -> None:
        self._end_lsn, self._stop = end_lsn, stop

    def open(self) -> Checkpoint:
        checkpoint: Checkpoint = cast("Any", super()).open()
        self.began = time.monotonic()
        return checkpoint

    def load(self, changes: Iterable[Sequence[Change]], checkpoint: Callable[[], Checkpoint]) -> None:
        cast("Any", super()).load(changes, checkpoint)
        self.began = time.monotonic()

    def prepare(self, transactions: Sequence[Transaction]) -> Callable[[Checkpoint], None]:
        return partial(self._timed, cast("Any", super()).prepare(transactions))

    def _timed(self, apply: Callable[[Checkpoint], None], checkpoint: Checkpoint) -> None:
        apply(checkpoint)
        self.ended, self.changes = time.monotonic(), checkpoint.changes
        if checkpoint.end_lsn >= self._end_lsn:
            self._stop.set()


class _Serving(_Timed, ServingStore):
    """The serving store, timed."""


class _Analytics(_Timed, AnalyticsStore):
    """The analytics store, timed."""


def main() -> None:
    """Project to the given position."""
    settings, stop = Settings(), threading.Event()
    settle()
    which, end_lsn = sys.argv[1:]
    if which == "analytics":
        settings = settings.model_copy(update={"batch_changes": settings.analytics_batch_changes})
    tables = captured_tables(settings)
    rhythm = Rhythm(commits_s=settings.analytics_interval_s) if which == "analytics" else AT_ONCE
    with closing(open_reader(settings)) as reader, closing(_store(settings, which, tables)) as store:
        store.stop_at(lsn_value(end_lsn), stop)
        Projector(settings, store, tables, reader, rhythm=rhythm).run(stop)
    sys.stdout.write(f"{store.changes} {store.ended - store.began}\n")


def _store(settings: Settings, which: str, tables: Sequence[Table]) -> _Serving | _Analytics:
    shapes, declared = captured_shapes(settings, tuple(tables)), registry.load(settings.models)
    if which == "analytics":
        memory, declarations = f"{settings.analytics_memory // 1_000}KB", declared.of_store("analytics")
        return _Analytics(Path("projection.duckdb").resolve(), tables, declarations, memory_limit=memory, shapes=shapes)
    assert settings.serving_dsn is not None
    declarations = Declarations() if which == "replay" else declared.of_store("serving")
    return _Serving(settings.serving_dsn.get_secret_value(), tables, declarations, shapes=shapes)


if __name__ == "__main__":
    main()

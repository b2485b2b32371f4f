"""A projector's catch-up: the serving store's, with every registered read model, from the topics' beginning.

``python -m benchmarks.projection END_LSN`` (settings from the environment, with a serving store of its own) projects until
the store stands at that position and prints ``changes seconds``: seconds of streaming, the snapshot's load aside.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from cdc.assembler import Transaction
from cdc.change import Change
from config.settings import Settings
from projectors import registry
from projectors.checkpoint import Checkpoint, lsn_value
from projectors.loop import Projector
from projectors.run import captured_shapes, captured_tables, open_reader, settle
from projectors.serving.store import ServingStore


class _Timed(ServingStore):
    """The serving store, which remembers when it was first and last moved."""

    began = ended = 0.0
    changes = 0

    def stop_at(self, end_lsn: int, stop: threading.Event) -> None:
        self._end_lsn, self._stop = end_lsn, stop

    def open(self) -> Checkpoint:
        checkpoint = super().open()
        self.began = time.monotonic()
        return checkpoint

    def load(self, changes: Iterable[Sequence[Change]], checkpoint: Callable[[], Checkpoint]) -> None:
        super().load(changes, checkpoint)
        self.began = time.monotonic()

    def prepare(self, transactions: Sequence[Transaction]) -> Callable[[Checkpoint], None]:
        return partial(self._timed, super().prepare(transactions))

    def _timed(self, apply: Callable[[Checkpoint], None], checkpoint: Checkpoint) -> None:
        apply(checkpoint)
        self.ended, self.changes = time.monotonic(), checkpoint.changes
        if checkpoint.end_lsn >= self._end_lsn:
            self._stop.set()


def main() -> None:
    """Project to the given position."""
    settings, stop = Settings(), threading.Event()
    settle()
    assert settings.serving_dsn is not None
    tables = captured_tables(settings)
    declarations = registry.load(settings.models).of_store("serving")
    shapes = captured_shapes(settings, tables)
    store = _Timed(settings.serving_dsn.get_secret_value(), tables, declarations, shapes=shapes)
    store.stop_at(lsn_value(sys.argv[1]), stop)
    reader = open_reader(settings)
    try:
        Projector(settings, store, tables, reader).run(stop)
    finally:
        store.close()
        reader.close()
    sys.stdout.write(f"{store.changes} {store.ended - store.began}\n")


if __name__ == "__main__":
    main()

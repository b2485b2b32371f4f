"""Looks at the source's catalogue now and then: a table changes there without a word in the stream."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

from cdc.errors import Transient
from cdc.shapes import Shapes, fingerprint

logger = logging.getLogger(__name__)

_INTERVAL_S = 2.0


class Watch:
    """Says whether tables still have the shapes that a projector began with."""

    def __init__(self, read: Callable[[], Shapes], shapes: Shapes) -> None:
        """``read`` may raise Transient: nothing is known then."""
        self._read = read
        self._shapes = shapes
        self.fingerprint = fingerprint(shapes)  #: of all captured tables
        self.changed: str | None = None  #: a table that was seen to have changed

    def look(self) -> bool:
        """Read the catalogue now; True when nothing changed. Tables that were added do not count. Raises Transient."""
        now = self._read()
        for table, shape in self._shapes.items():
            if table not in now or now[table].meaning != shape.meaning:
                self.changed = table
        return self.changed is None

    def is_latest(self) -> bool:
        """Whether the catalogue has exactly the tables and shapes that this watch began with. Raises Transient."""
        return fingerprint(self._read()) == self.fingerprint


@contextmanager
def watching(read: Callable[[], Shapes], shapes: Shapes) -> Generator[Watch]:
    """A watch that looks by itself, in a thread of its own, for as long as the block runs."""
    watch, stop = Watch(read, shapes), threading.Event()

    def look() -> None:
        while not stop.wait(_INTERVAL_S):
            try:
                watch.look()
            except Transient as exc:
                logger.info(str(exc), extra={"action": "catalogue_unread"})

    thread = threading.Thread(target=look, name="catalogue watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join(5.0)

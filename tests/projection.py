"""A projector at work in a thread of its own that goes forward only as far as it is told to, and can be killed anywhere."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from cdc.partitions import Partition
from cdc.reader import Decoded, Record
from config.settings import Settings
from projectors.checkpoint import Store
from projectors.loop import Projector
from projectors.pace import Rhythm
from tests.scripted import PREFIX, ScriptedLog, ScriptedReader
from tests.snapshots import ScriptedSnapshots

#: Counts go with every commit, and what operators ask for is looked up after every poll.
_RHYTHM = Rhythm(looks_s=0.0, counts_s=0.0)
_PATIENCE_S = 180.0  # this machine may be busy with something else for long; a hang is for ever


@cache
def _settings(directory: Path) -> Settings:
    # So few that transactions go through the spool, and partitions are made to wait for each other.
    return Settings(topic_prefix=PREFIX, data_dir=directory, buffered_changes=5)


class Killed(BaseException):
    """What a killed process would not even notice."""


class Projection:
    """One projector's life. Between two calls it waits for its next records, everything it has read applied."""

    def __init__(
        self,
        log: ScriptedLog,
        store: Store,
        snapshots: ScriptedSnapshots,
        directory: Path,
        rewind: Random | None = None,
        parks: Callable[[str], bool] = lambda _table: False,
    ) -> None:
        """With ``rewind``, it reads some partitions again from earlier offsets than its checkpoint says."""
        self.store = store
        self._reader = _Lockstep(log, rewind)
        self._error: BaseException | None = None
        self._projector = Projector(
            _settings(directory),
            store,
            log.tables,
            self._reader,
            control=lambda: snapshots.control,
            request=lambda _reason: None,
            rhythm=_RHYTHM,
            parks=parks,
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._reader.wait_idle()
        if self._error is not None:
            raise self._error

    def advance(self, polls: int, chance: Any) -> None:
        """Let it poll this often, or until nothing is unread; raises what the projector raised."""
        if self._error is None:
            self._reader.allow(polls, chance)
            self._reader.wait_idle()
        if self._error is not None:
            raise self._error

    def kill(self) -> None:
        """End it where it is; what it has not committed is lost with it."""
        self._reader.kill()
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        try:
            self._projector.run(threading.Event())
            self.store.close()
        except BaseException as exc:
            self._error = exc
            with contextlib.suppress(Exception):
                self.store.close()
        finally:
            self._reader.end()


class _Lockstep(ScriptedReader):
    def __init__(self, log: ScriptedLog, rewind: Random | None) -> None:
        super().__init__(log, None)
        self._rewind = rewind
        self._turn = threading.Condition()
        self._polls = 0
        self._idle = self._ended = self._killed = False

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        def earlier(offset: int) -> int:
            again = self._rewind is not None and self._rewind.random() < 0.5
            return self._rewind.randint(0, offset) if again and self._rewind else offset

        super().assign({partition: earlier(offset) for partition, offset in offsets.items()})

    def poll(self, timeout_s: float, most_records: int) -> list[Record | Decoded]:
        with self._turn:
            while not self._killed and (self._polls == 0 or not self.unread()):
                self._idle = True
                self._turn.notify_all()
                self._turn.wait()
            if self._killed:
                raise Killed
            self._polls -= 1
        return super().poll(timeout_s, most_records)

    def allow(self, polls: int, chance: Any) -> None:
        with self._turn:
            self._choose = lambda unread: (chance.choice(unread), chance.randint(1, 6))
            self._polls, self._idle = polls, False
            self._turn.notify_all()

    def wait_idle(self) -> None:
        self._until(lambda: self._idle or self._ended)

    def kill(self) -> None:
        with self._turn:
            self._killed = True
            self._turn.notify_all()

    def end(self) -> None:
        with self._turn:
            self._ended = True
            self._turn.notify_all()

    def _until(self, holds: Callable[[], Any]) -> None:
        with self._turn:
            assert self._turn.wait_for(holds, _PATIENCE_S), f"the projector hangs for {_PATIENCE_S} s"

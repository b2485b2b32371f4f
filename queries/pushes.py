"""Hears which keys of a read model each commit changed, for those who watch it (projectors/serving/pushes.py)."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import psycopg

from projectors.serving.pushes import CHANNEL

logger = logging.getLogger(__name__)

FUNCTION = "readside.watch(text)"
RENEW_S = 5.0  # between two words to the projector that somebody watches still
ASK_S = 0.25  # the same until it has taken it up
PAUSE_S = 1.0
MOST = 1_000  # keys that wait for a slow client
WATCHERS = 32


class Watcher:
    """One client's view of one read model; on the event loop alone."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.woken = asyncio.Event()
        self.watching = False  #: keys are named of every commit from now on
        self._begun = False
        self._keys: dict[str, Any] | None = {}

    def begin(self) -> None:
        """Keys are named from now on; of what was named before, some may not have been heard."""
        if self.watching:
            return
        if self._begun:
            self._keys = None
        self.watching = self._begun = True
        self.woken.set()

    def add(self, keys: list[list[str]] | None) -> None:
        """Of one commit; None for very many, or for commits that may not have been heard."""
        if keys is None or self._keys is None or len(self._keys) + len(keys) > MOST:
            self._keys = None
        else:
            self._keys |= {json.dumps(key): key[0] if len(key) == 1 else key for key in keys}
        self.woken.set()

    def take(self) -> list[Any] | None:
        """The keys since this was asked last: text, or a list of texts where it has several columns. None for too many."""
        keys, self._keys = self._keys, {}
        return None if keys is None else list(keys.values())


class Pushes:
    """One connection that listens for all who watch; there is none while nobody does."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._watchers: set[Watcher] = set()
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pushes", daemon=True)

    def start(self) -> None:
        """Called on the event loop whose tasks will watch."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def end(self) -> None:
        """Wake all who watch, so that they leave; called on the event loop."""
        for watcher in self._present():
            watcher.woken.set()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._wanted.set()
        self._thread.join(2 * PAUSE_S)

    @contextmanager
    def watched(self, model: str) -> Generator[Watcher | None]:
        """Yields None where too many watch already. On the event loop."""
        watcher = Watcher(model)
        with self._lock:
            room = len(self._watchers) < WATCHERS
            if room:
                self._watchers.add(watcher)
        if not room:
            yield None
            return
        self._wanted.set()
        try:
            yield watcher
        finally:
            with self._lock:
                self._watchers.discard(watcher)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._present():
                self._wanted.wait()
                self._wanted.clear()
                continue
            try:
                with psycopg.connect(
                    self._dsn, autocommit=True, application_name="readside-queries-pushes", connect_timeout=2
                ) as connection:
                    connection.execute("set default_transaction_read_only = off")  # for the one function that it calls
                    connection.execute(f"listen {CHANNEL}")
                    self._follow(connection)
            except psycopg.Error as error:
                logger.warning(
                    "lost the connection that hears of changed keys; reconnecting",
                    extra={"action": "pushes_lost", "error": type(error).__name__, "retry_s": PAUSE_S},
                )
                for watcher in self._present():
                    watcher.watching = False
                self._stopping.wait(PAUSE_S)

    def _follow(self, connection: psycopg.Connection[Any]) -> None:
        asked: dict[str, float] = {}
        taken_up: set[str] = set()
        while not self._stopping.is_set() and (watchers := self._present()):
            for model in sorted({watcher.model for watcher in watchers}):
                every_s = RENEW_S if model in taken_up else ASK_S
                if time.monotonic() - asked.get(model, -every_s) >= every_s:
                    asked[model] = time.monotonic()
                    row = connection.execute("select readside.watch(%(model)s)", {"model": model}).fetchone()
                    if row is not None and row[0]:
                        taken_up.add(model)
                    elif model in taken_up:  # the word came too late: what changed meanwhile may not have been named
                        taken_up.discard(model)
                        self._tell(Watcher.add, model, None)
            for watcher in watchers:
                if watcher.model in taken_up and not watcher.watching:
                    self._call(watcher.begin)
            for notify in connection.notifies(timeout=ASK_S, stop_after=1):
                told = json.loads(notify.payload)
                self._tell(Watcher.add, told["model"], told["keys"])

    def _tell(self, change: Callable[..., None], model: str, *arguments: Any) -> None:
        for watcher in self._present():
            if watcher.model == model:
                self._call(change, watcher, *arguments)

    def _present(self) -> list[Watcher]:
        with self._lock:
            return list(self._watchers)

    def _call(self, change: Any, *arguments: Any) -> None:
        if not self._stopping.is_set():
            self._loop.call_soon_threadsafe(change, *arguments)

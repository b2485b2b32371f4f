"""One look at the pipeline for everybody who watches it: a thread that looks, and keeps the last hour."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from config.settings import Settings
from queries.freshness import Freshness, Measured
from queries.health import COLLECT_S, collect
from queries.history import History, figures_of
from queries.pipeline import Health
from queries.store import rfc3339

WATCHED_S = 1.0  # between two looks while somebody watches
UNWATCHED_S = 5.0
SHARED_S = 0.5  # for so long a look is good enough for whoever asks for one
WATCHERS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Everything at one moment, without a password in it."""

    at: datetime
    taken: float  #: monotonic
    health: Health
    freshness: Measured

    def to_json(self) -> dict[str, Any]:
        """As ``/health`` answers it."""
        return {**self.health.to_json(), "at": rfc3339(self.at), "freshness": asdict(self.freshness)}


class Sampler:
    """Looks about once a second while somebody watches, and every five seconds otherwise; lives as long as the server."""

    def __init__(self, settings: Settings, freshness: Freshness) -> None:
        self._settings = settings
        self._freshness = freshness
        self._turn = threading.Lock()
        self._latest: Look | None = None
        self._encoded = b""
        self._history = History()
        self._watchers: set[asyncio.Event] = set()  # of the event loop alone
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self.ending = False  #: whoever watches is to leave

    def start(self) -> None:
        """Begin to look; called on the event loop whose tasks will watch."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def end(self) -> None:
        """Have all watchers leave; called on the event loop."""
        self.ending = True
        self._wake()

    def stop(self) -> None:
        """End the thread, which takes no longer than a look."""
        self._stopping.set()
        self._wanted.set()
        self._thread.join(2 * COLLECT_S)

    def look(self) -> Look:
        """What is there now. Whoever asks while somebody looks gets what they see."""
        with self._turn:
            if self._latest is None or time.monotonic() - self._latest.taken > SHARED_S:
                self._look()
            assert self._latest is not None
            return self._latest

    @contextmanager
    def watched(self) -> Generator[asyncio.Event | None]:
        """Yields what is set at each new look, or None where too many watch already. On the event loop."""
        if len(self._watchers) >= WATCHERS:
            yield None
            return
        woken = asyncio.Event()
        self._watchers.add(woken)
        self._wanted.set()
        try:
            yield woken
        finally:
            self._watchers.discard(woken)

    @property
    def latest(self) -> bytes:
        """The last look in JSON, made once for all; empty before the first."""
        return self._encoded

    def history(self) -> bytes:
        """The last hour in JSON."""
        return msgspec.json.encode(self._history.to_json(time.time()))

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wanted.clear()
            began = time.monotonic()
            with self._turn:
                if self._latest is None or began - self._latest.taken >= SHARED_S:
                    self._look()
            pause_s = WATCHED_S if self._watchers else UNWATCHED_S
            self._wanted.wait(max(0.1, began + pause_s - time.monotonic()))

    def _look(self) -> None:
        health, freshness = collect(self._settings).masked, self._freshness.last_minute()
        look = Look(at=datetime.now(UTC), taken=time.monotonic(), health=health, freshness=freshness)
        self._history.add(look.at.timestamp(), figures_of(health, freshness))
        self._latest, self._encoded = look, msgspec.json.encode(look.to_json())
        if not self._stopping.is_set():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for woken in self._watchers:
            woken.set()

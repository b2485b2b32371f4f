"""Which snapshot a store is to load next: chosen from what the log holds, asked for when none of them will do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from cdc.control import Control, Snapshot
from cdc.errors import Transient
from cdc.partitions import Partition, unpacked
from projectors.checkpoint import Store
from projectors.watch import Watch

logger = logging.getLogger(__name__)

_LOOK_S = 0.2


class Snapshots:
    """The choice for one open store. Methods raise Transient."""

    def __init__(
        self, store: Store, control: Callable[[], Control], request: Callable[[str], None], watch: Watch | None
    ) -> None:
        """See Projector."""
        self._store = store
        self._control = control
        self._request = request
        self._watch = watch

    def on_its_way(self, generation: int) -> bool:
        """Whether a later snapshot has begun or is whole."""
        control = self._control()
        return control.begun is not None or control.after(generation) is not None

    def supervisions(self) -> Sequence[str]:
        """Whose canaries are readside's, oldest first."""
        return self._control().supervisions

    def end_of(self, generation: int) -> dict[Partition, int]:
        """Where the stream of a generation ended, which a later snapshot follows.

        Not where the one to be loaded begins: what lies behind a snapshot that is left out means nothing without it.
        """
        following = self._control().after(generation)
        return {} if following is None else unpacked(following.since)

    def await_next(self, generation: int, stop: threading.Event) -> Snapshot | None:
        """The next snapshot behind a generation, as soon as it is whole; None at ``stop``."""
        return self._await(lambda: self._control().after(generation), stop)

    def choose(self, generation: int, *, streaming: bool, stop: threading.Event) -> Snapshot | None:
        """What is to be loaded before the stream goes on, waited for; None when there is none, or at ``stop``."""
        if streaming and self._store.doubt is None:
            following = self._control().after(generation)
            if following is None or self._fits(following):
                return following
        return self._await(lambda: self._newest_that_fits(generation), stop)

    def _newest_that_fits(self, generation: int) -> Snapshot | None:
        control = self._control()
        latest = control.latest
        if latest is None:
            return None
        if latest.generation > generation:
            if self._fits(latest):
                return latest
            if self._watch is not None and not self._watch.is_latest():
                raise Transient("the source's tables changed; beginning anew with its catalogue")
        if control.begun is None and control.requested is None:
            why = self._store.doubt or "the source's tables changed since the latest"
            logger.warning("a new snapshot is needed", extra={"action": "snapshot_requested", "reason": why})
            self._request(why)
        return None

    def _fits(self, snapshot: Snapshot) -> bool:
        return self._watch is None or snapshot.shape in ("", self._watch.fingerprint)

    def _await(self, find: Callable[[], Snapshot | None], stop: threading.Event) -> Snapshot | None:
        while not stop.is_set():
            if (snapshot := find()) is not None:
                return snapshot
            self._store.rest()
            stop.wait(_LOOK_S)
        return None

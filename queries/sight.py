"""What the probes saw at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from queries.capture import Alarm
from queries.pipeline import State
from queries.probes import Offsets, StoreView
from queries.supervision import Supervised
from queries.wal import Slot

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen(Generic[T]):
    """What a probe saw, or the fault that kept it from seeing."""

    value: T | None = None
    #: Empty when it saw; else one or two words, never a secret.
    fault: str = ""
    #: The setting that would say where to look.
    unset: str = ""

    @property
    def state(self) -> State:
        """The state of a component of which answering is all that can be asked."""
        return "unknown" if self.unset else "down" if self.fault else "ok"

    def why(self, name: str) -> str:
        """Why there is nothing to see."""
        if self.unset:
            return f"{self.unset} is not set, so nobody looked"
        return f"does not answer ({self.fault}); see its log, {name}.log, or ./readside up" if self.fault else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """All that the probes saw at one moment."""

    at: datetime
    #: Seconds after which a store's moment is old, whether or not anything is left to read.
    stale_s: float
    #: Topics whose records are no changes.
    bookkeeping: frozenset[str]
    slot: Seen[Slot | None]
    connector: Seen[tuple[str, str] | None]
    log: Seen[tuple[Offsets, float | None]]
    serving: Seen[StoreView]
    analytics: Seen[StoreView]
    writer: Seen[None]
    queries: Seen[None]
    #: The serving projector's endpoint.
    projector: Seen[None] = Seen()
    alarm: Alarm = Alarm()  # noqa: RUF009
    #: The connector's own URL.
    connector_url: str = "CONNECT_URL/connectors/NAME"
    supervised: Mapping[str, Supervised] = field(default_factory=dict[str, Supervised])

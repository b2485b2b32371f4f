"""What the probes see when all is well, for tests that then make one thing worse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from queries import diagnosis
from queries.diagnosis import Seen, Sight
from queries.pipeline import Verified
from queries.probes import Position, Rows, StoreView
from queries.wal import Slot

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOPIC = "shop.public.orders"
WELL = Slot(active=True, wal_status="reserved", retained_bytes=4096, unconfirmed_bytes=128, safe_bytes=None)


def store(*, age_s: float = 0.3, phase: str = "streaming", read: int = 7) -> Seen[StoreView]:
    """A store of that age that has read so many records of the topic."""
    position = Position(
        phase=phase,
        end_lsn="0/100",
        committed_at=NOW - timedelta(seconds=age_s),
        changes=0,
        rate=12.5,
        frontier={TOPIC: {"0": read, "1": 3}},
    )
    return Seen(value=StoreView(position=position, models=(Rows(name="order_details", version=2, rows=5),)))


def found(name: str, store: str, differences: int) -> Verified:
    """What the background verification found of something of 9 rows."""
    at = "2026-03-01T12:00:00.000000Z"
    return Verified(name=name, store=store, at=at, rows=9, differences=differences, found=differences + 2, repaired=2)


ALL_WELL = Sight(
    at=NOW,
    stale_s=5.0,
    bookkeeping=frozenset({"shop.transaction"}),
    slot=Seen(value=WELL),
    connector=Seen(value=("RUNNING", "RUNNING")),
    log=Seen(value=({TOPIC: {"0": 7, "1": 3}, "shop.transaction": {"0": 900}}, 40.0)),
    serving=store(),
    analytics=store(),
    writer=Seen(),
    queries=Seen(),
)


def states(sight: Sight) -> dict[str, str]:
    """What is not ok."""
    return {
        part.name: part.state for part in (*diagnosis.components(sight), *diagnosis.hops(sight)) if part.state != "ok"
    }


def hop(sight: Sight, name: str) -> Any:
    """One hop."""
    return next(hop for hop in diagnosis.hops(sight) if hop.name == name)

"""Judges the replication slot: whether somebody reads it, and whether there is room for the WAL that it keeps."""

from __future__ import annotations

from dataclasses import dataclass

from cdc.errors import BEGIN_ANEW
from queries.pipeline import Hop, State
from queries.wal import Slot

#: Of looks: less tells of a burst, or of a transaction under way, as if it would go on for ever.
TREND_S = 30.0
DAY_S = 86_400.0
CLOCKS_S = 2.0  # that two machines' clocks may differ before anybody need care

_OLDEST = "`select pid, xact_start from pg_stat_activity order by xact_start limit 1` says which"
_WHO_READS = "why is said of transport (`./readside status`); `./readside doctor` says what Connect lacks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """When WAL that piles up is to be told of; see the settings of these names."""

    wal_alarm_s: float = 600.0
    wal_alarm_bytes: int = 2 << 30


def judged(slot: Slot | None, alarm: Alarm) -> Hop:
    """The hop from PostgreSQL's WAL into Connect, of a server that answered; None where it has no such slot."""
    if slot is None:
        return Hop(name="capture", state="down", why=f"the replication slot does not exist; {BEGIN_ANEW}")
    trend = slot.trend
    full_s = trend.time_to_full_s(slot.room_bytes) if trend else None
    state, why = _state(slot, alarm, full_s)
    figures = {
        "wal_status": slot.wal_status,
        "retained_bytes": slot.retained_bytes,
        "unconfirmed_bytes": slot.unconfirmed_bytes,
        "safe_bytes": slot.safe_bytes,
        "free_bytes": slot.free_bytes,
        "wal_rate_bytes_per_s": int(trend.written_bytes_per_s) if trend else None,
        "time_to_full_s": None if full_s is None else int(full_s),
        "clock_ahead_ms": int(slot.clock_ahead_s * 1000),
    }
    return Hop(name="capture", state=state, why=why, figures=figures)


def _state(slot: Slot, alarm: Alarm, full_s: float | None) -> tuple[State, str]:
    retained = slot.retained_bytes or 0
    kept = f"the slot keeps {retained / 1e6:,.0f} MB of WAL"
    soon = f", and there is no room for more in {full_s:,.0f} s" if full_s is not None and full_s < DAY_S else ""
    if slot.wal_status == "lost":
        return "down", f"the slot lost WAL that it needed (max_slot_wal_keep_size): changes are gone; {BEGIN_ANEW}"
    if slot.wal_status == "unreserved":
        return (
            "degraded",
            f"{kept} and the server is about to remove it; let the connector catch up now, or give it time: `alter system "
            "set max_slot_wal_keep_size = -1; select pg_reload_conf()`",
        )
    if not slot.active:
        return "degraded", f"nobody reads the slot and WAL piles up: {kept}{soon}; {_WHO_READS}"
    lasting = slot.trend is not None and slot.trend.over_s >= TREND_S
    if lasting and full_s is not None and full_s < alarm.wal_alarm_s:
        return (
            "degraded",
            f"{kept}{soon} (READSIDE_WAL_ALARM_S={alarm.wal_alarm_s:g}); the connector is too slow, {_WHO_READS}",
        )
    if retained >= alarm.wal_alarm_bytes:
        return (
            "degraded",
            f"{kept}{soon} (READSIDE_WAL_ALARM_BYTES={alarm.wal_alarm_bytes}): the connector is behind, or a transaction "
            f"is open for long: {_OLDEST}",
        )
    if abs(slot.clock_ahead_s) >= CLOCKS_S:
        return "degraded", clocks_differ(slot.clock_ahead_s)
    return "ok", ""


def clocks_differ(ahead_s: float) -> str:
    """What to say of a source whose clock is so many seconds ahead of ours."""
    direction = "ahead of" if ahead_s > 0 else "behind"
    return (
        f"clocks differ: the source's is {abs(ahead_s):,.0f} s {direction} this machine's, and what is dated by one is "
        "shown with the other's; set both by NTP: `timedatectl set-ntp true`"
    )

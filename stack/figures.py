"""The pipeline's figures as people read them, each with its unit."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_STEP = 1024
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400


def size(count: float) -> str:
    """Bytes: 974 KiB, 8.0 GiB."""
    place = 0
    while abs(count) >= _STEP and place < len(_UNITS) - 1:
        count, place = count / _STEP, place + 1
    return f"{count:.0f} {_UNITS[place]}" if place == 0 or abs(count) >= 100 else f"{count:.1f} {_UNITS[place]}"


def duration(seconds: float) -> str:
    """Seconds: 0.3 s, 42 s, 5 min, 3.2 h, 12 d."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h" if seconds < 2 * _DAY_S else f"{seconds / _DAY_S:.0f} d"


def rate(per_s: float | None) -> str | None:
    """Changes per second, short: 0, 7.4, 213, 12.4k."""
    if per_s is None:
        return None
    if per_s < 0.05:
        return "0"
    return f"{per_s / 1000:.1f}k" if per_s >= 10_000 else f"{per_s:.0f}" if per_s >= 100 else f"{per_s:.1f}"


def figure(name: str, value: str | float | None) -> str:
    """One of a hop's figures, whose unit stands at the end of its name; - where it is not known."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if name.endswith("_bytes_per_s"):
        return f"{size(value)}/s"
    if name.endswith("_bytes"):
        return size(value)
    if name.endswith(("_s", "_seconds")):
        return duration(value)
    return str(value)


def label(name: str) -> str:
    """A figure's name without its unit: retained_bytes is retained."""
    for unit in ("_bytes_per_s", "_bytes", "_seconds", "_s"):
        if name.endswith(unit):
            return name.removesuffix(unit).replace("_", " ")
    return name.replace("_", " ")

"""Log sequence numbers: positions in PostgreSQL's WAL."""

from __future__ import annotations


def lsn_text(lsn: int) -> str:
    """An LSN as PostgreSQL writes it: 16/B374D848."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_value(text: str) -> int:
    """The number behind 16/B374D848. Raises ValueError for anything else."""
    high, slash, low = text.partition("/")
    if not slash:
        raise ValueError(f"{text!r} is no LSN")
    return int(high, 16) << 32 | int(low, 16)

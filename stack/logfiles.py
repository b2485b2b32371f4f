"""The components' logs: one file each, none larger than a bound, the older half kept beside it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from stack.process import tail

MOST_BYTES = 20_000_000


def keep_bounded(logs: Path, *, most_bytes: int = MOST_BYTES) -> None:
    """Move the content of each log that has grown too large to ``<name>.log.1``.

    The writers keep their file open and append, so the file is copied and emptied in place; lines written between the
    two steps are lost, which a log may.
    """
    for log in logs.glob("*.log"):
        if log.stat().st_size > most_bytes:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)


def last_error(log: Path) -> str:
    """The message of the last error among a log's last lines, as one of our own processes wrote it; empty if none did."""
    for line in reversed(tail(log).splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") == "error":
            return str(entry.get("message", ""))
    return ""

"""Passwords of a data directory's own PostgreSQL, made once and readable by their owner alone."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

_FILE = "secrets.json"
ROLES = ("postgres", "shop_writer", "readside_cdc", "readside_projector", "readside_queries")


def passwords(data_dir: Path) -> dict[str, str]:
    """The password of each role; made at the first call."""
    file = data_dir / _FILE
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    if missing := set(ROLES) - known.keys():
        known |= {role: secrets.token_urlsafe(24) for role in sorted(missing)}
        write_private(file, json.dumps(known, indent=2) + "\n")
    return known


def write_private(file: Path, text: str) -> None:
    """Replace a file atomically by one that only its owner can read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.write(text)
    part.replace(file)

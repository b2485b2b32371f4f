"""The environment: what a child process is given of it, and directories that it names. Settings come from settings.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from config.settings import ENV_PREFIX, Settings


def environment_of(settings: Settings) -> dict[str, str]:
    """Environment variables that give a child process exactly these settings, secrets included."""
    env = bare_environment()
    for name in type(settings).model_fields:
        value: Any = getattr(settings, name)
        if value is None:
            continue
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if isinstance(value, tuple):
            value = ",".join(value)
        env[ENV_PREFIX + name.upper()] = str(value)
    return env


def bare_environment() -> dict[str, str]:
    """Our environment without our settings and their secrets, for a child process that needs none of them."""
    return {key: value for key, value in os.environ.items() if not key.startswith(ENV_PREFIX)}


def cache_directory() -> Path:
    """What is kept between runs and between data directories; safe to delete. The XDG base directories' place for it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "readside"


def state_directory() -> Path:
    """What a person's commands remember, of any data directory; safe to delete. The XDG base directories' place for it."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "readside"

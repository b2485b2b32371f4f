"""The serving store, as a command reaches it: one statement at a time, as the role that owns it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg

from config.settings import Settings
from stack.errors import StackError


def serving_dsn(settings: Settings) -> str:
    """Where it is. Raises StackError when the settings do not say."""
    if settings.serving_dsn is None:
        raise StackError("READSIDE_SERVING_DSN is not set; start the stack with `readside up`, or name the store")
    return settings.serving_dsn.get_secret_value()


@contextmanager
def connected(settings: Settings, name: str) -> Generator[psycopg.Connection[Any]]:
    """A connection for as long as the block runs, under this name. Raises StackError when it does not answer, in the block
    too."""
    dsn = serving_dsn(settings)
    try:
        with psycopg.connect(dsn, autocommit=True, application_name=name) as connection:
            yield connection
    except psycopg.OperationalError as exc:
        raise StackError(f"the serving store does not answer ({type(exc).__name__}); see `readside status`") from exc

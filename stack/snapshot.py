"""A fresh snapshot of the source, asked for and waited for: it comes into the stores as the difference that it makes."""

from __future__ import annotations

import time

import psycopg

from cdc.control import ControlTopic, request_snapshot
from cdc.errors import ReadsideError
from config.settings import Settings
from stack.errors import StackError
from stack.serving_store import connected
from stack.terminal import talk

_LOOK_S = 0.5
_BEGINS_S = 60.0


def take_snapshot(settings: Settings, reason: str) -> int:
    """Ask for a snapshot and wait until the serving store has loaded it; returns its generation. Raises StackError."""
    control = ControlTopic(settings.kafka, settings.topic_prefix)
    try:
        latest = control.refresh().latest
        before = latest.generation if latest else 0
        request_snapshot(settings.kafka, settings.topic_prefix, reason)
        talk.print("a snapshot of the source is asked for")
        began = time.monotonic()
        said = ""
        with connected(settings, "readside snapshot") as store:
            while True:
                now = control.refresh()
                whole = now.after(before)
                if whole is not None and _loaded(store) >= whole.generation:
                    talk.print("the stores hold it")
                    return whole.generation
                state = (
                    "the snapshot is loaded into the store"
                    if whole
                    else "the snapshot is read from the source"
                    if now.begun
                    else ""
                )
                if state and state != said:
                    said = state
                    talk.print(state)
                if not said and time.monotonic() - began > _BEGINS_S:
                    raise StackError(
                        f"no snapshot has begun in {_BEGINS_S:g} s: is Connect running? see `readside status`"
                    )
                time.sleep(_LOOK_S)
    except ReadsideError as exc:
        raise StackError(f"{exc}; see `readside status`") from exc
    finally:
        control.close()


def _loaded(store: psycopg.Connection[tuple[object, ...]]) -> int:
    """The generation of the snapshot that the store's stream continues."""
    row = store.execute(
        "select coalesce((state ->> 'generation')::int, 1) from readside.checkpoint where phase = 'streaming'"
    ).fetchone()
    return int(str(row[0])) if row else 0

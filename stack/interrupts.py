"""Ctrl-C, also where it comes in the middle of a library that keeps what is raised in it to itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


@contextmanager
def noted() -> Generator[threading.Event]:
    """Ctrl-C raises KeyboardInterrupt as ever, and sets the event. For the main thread.

    kafka-python 3.0.12 stores what is raised in one of its tasks as that task's failure (kafka/net/selector.py) and goes on.
    """
    pressed = threading.Event()

    def interrupt(*_: Any) -> None:
        pressed.set()
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGINT, interrupt)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, former)

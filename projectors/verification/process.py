"""The reconciler beside a projector: a child process, so that it takes no time of the one that applies changes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

from config.environment import environment_of
from config.settings import Settings

_ENDS_S = 0.5


@contextmanager
def reconciling(settings: Settings) -> Generator[None]:
    """Verify in the background while the block runs, if the settings say so. The child ends with this process, however."""
    if not settings.verify_interval_s:
        yield
        return
    child = subprocess.Popen(
        [sys.executable, "-m", "projectors.verification"], env=environment_of(settings), stdin=subprocess.PIPE
    )
    assert child.stdin is not None
    try:
        yield
    finally:
        child.stdin.close()
        try:
            child.wait(_ENDS_S)
        except subprocess.TimeoutExpired:  # in the middle of a query
            child.kill()
            child.wait()

"""The published copy of the analytics store: a file that any DuckDB opens, replaced whole every few seconds.

No second process can open the live file, not even to read, and the process that has it open may touch no other file. So
the writing thread, between two of its transactions, copies the live file as it is; a child process makes of that copy a
compact database in the oldest storage format, and puts it in the place of the last one. Whoever has that one open goes on
reading it.

The child is projectors/analytics/copying.py.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from config.environment import bare_environment
from projectors.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

_LEAST_REST = 0.25  # times as long as a copy took passes before the next one
_CHILD_S = 300.0  # longest run of the child


class Publisher:
    """Publishes one store. ``committed`` is called by its writing thread, the rest happens in a thread of its own."""

    def __init__(self, live: Path, target: Path, interval_s: float) -> None:
        """``interval_s``: the least time from one copy to the next, in seconds."""
        self._live = live
        self._target = target
        # Of this process alone: the child of one that was killed must not put its file in the place of a newer one.
        self._work = live.parent / f"copy-{os.getpid()}"
        for left in live.parent.glob("copy-*"):
            shutil.rmtree(left, ignore_errors=True)
        self._interval_s = interval_s
        self._next_at = 0.0
        self._published: int | None = None  # changes in the store when it was copied last
        self._busy = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._closing = False

    def committed(self, checkpoint: Checkpoint) -> None:
        """Between two transactions: copy the file if it is time, and something has changed."""
        if checkpoint.phase != "streaming" or checkpoint.changes == self._published:
            return
        if time.monotonic() < self._next_at or not self._busy.acquire(blocking=False):
            return
        began = time.monotonic()
        try:
            copy = self._copy()
        except OSError as exc:
            logger.warning(
                "the analytics store cannot be copied; trying again later",
                extra={"action": "publish_failed", "reason": exc.strerror},
            )
            self._next_at = began + self._interval_s
            self._busy.release()
            return
        self._published = checkpoint.changes
        threading.Thread(target=self._publish, args=(copy, began), name="publishing", daemon=True).start()

    def close(self) -> None:
        """End what is under way; the last published copy stays."""
        self._closing = True
        if (child := self._child) is not None:
            child.kill()
        if self._busy.acquire(timeout=10.0):
            shutil.rmtree(self._work, ignore_errors=True)

    def _copy(self) -> Path:
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        copy = self._work / "as-it-was.duckdb"
        shutil.copyfile(self._live, copy)
        log = self._live.with_name(self._live.name + ".wal")
        if log.exists():
            shutil.copyfile(log, copy.with_name(copy.name + ".wal"))
        return copy

    def _publish(self, copy: Path, began: float) -> None:
        try:
            if not self._closing and (failure := self._run([str(copy), str(self._target)])):
                logger.warning(
                    "the analytics store's copy was not published; trying again later",
                    extra={"action": "publish_failed", "reason": failure},
                )
                self._published = None
        finally:
            now = time.monotonic()
            self._next_at = max(began + self._interval_s, now + _LEAST_REST * (now - began))
            self._busy.release()

    def _run(self, arguments: Sequence[str]) -> str | None:
        """Why the child failed; None when it did not."""
        command = [sys.executable, "-m", "projectors.analytics.copying", *arguments]
        with subprocess.Popen(
            command, env=bare_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as child:
            self._child = child
            try:
                _, said = child.communicate(timeout=_CHILD_S)
            except subprocess.TimeoutExpired:
                child.kill()
                return f"it took more than {_CHILD_S:.0f} s"
            finally:
                self._child = None
        if child.returncode == 0 or self._closing:
            return None
        return said.decode(errors="replace").strip().rpartition("\n")[2][-300:] or f"exit code {child.returncode}"

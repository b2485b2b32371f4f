"""The published copy of the analytics store: a file that any DuckDB opens, replaced whole every few seconds.

No second process can open the live file with DuckDB, not even to read, and the process that has it open may touch no other
file. So the writing thread, between two of its transactions, has the live file copied as it is; a child process makes of
that copy a database in the oldest storage format, of all that there is or of the last one and what is new, and puts it in
the place of that. Whoever has the last one open goes on reading it.
"""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from config.environment import bare_environment
from projectors.analytics.unpublished import Unpublished
from projectors.checkpoint import Checkpoint

logger = logging.getLogger(__name__)

_publishers = itertools.count()

_REST_OF_BROKEN = 1.0  # times as long as a copy took that was not published passes before the next one
_COPY_S = 300.0  # longest that a copy may take
_PAUSE_S = 30.0  # longest that the writing thread waits for the copy of the live file
_REST_OF_FAILED = 10  # times as long as that took in vain passes before it is tried again


class Publisher:
    """Publishes one store. ``committed`` is called by its writing thread, the rest happens in a thread of its own."""

    def __init__(self, live: Path, target: Path, interval_s: float) -> None:
        """``interval_s``: the least time from one copy to the next, in seconds."""
        self._live = live
        self._target = target
        # Of this one alone: the child of an earlier one must not put its file in the place of a newer one.
        self._work = live.parent / f"copy-{os.getpid()}-{next(_publishers)}"
        self._interval_s = interval_s
        self._next_at = 0.0
        self._published: int | None = None  # the store's revision when it was copied last
        self._busy = threading.Lock()
        self._copier = _Copier()
        self.unpublished = Unpublished()  #: notes that the store keeps for it
        self._closing = False

    def committed(self, checkpoint: Checkpoint, revision: int) -> None:
        """Between two transactions: copy the file if it is time, and rows may have changed; ``revision``: the store's."""
        if checkpoint.phase != "streaming" or revision == self._published:
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
            now = time.monotonic()
            self._next_at = now + max(self._interval_s, _REST_OF_FAILED * (now - began))
            self._busy.release()
            return
        self._published = revision
        number = self.unpublished.copied()
        threading.Thread(target=self._publish, args=(copy, number, began), name="publishing", daemon=True).start()

    def close(self) -> None:
        """End what is under way; the last published copy stays."""
        self._closing = True
        self._copier.kill()
        if self._busy.acquire(timeout=10.0):
            self._copier.end()
            shutil.rmtree(self._work, ignore_errors=True)

    def _copy(self) -> Path:
        # Whoever is called has the live file to itself: what else lies here was left by somebody who had it before.
        for left in self._live.parent.glob("copy-*"):
            shutil.rmtree(left, ignore_errors=True)
        self._work.mkdir(parents=True)
        log = self._live.with_name(self._live.name + ".wal")
        _copy([self._live, log] if log.exists() else [self._live], self._work)
        return self._work / self._live.name

    def _publish(self, copy: Path, number: int, began: float) -> None:
        failure: str | None = "an unforeseen error"
        try:
            failure = None if self._closing else self._copier.publish(copy, self._target, number)
        except OSError as exc:  # it cannot begin; what it says besides is a path
            failure = exc.strerror or type(exc).__name__
        except ValueError:
            failure = "its process's answer ended in the middle"
        finally:
            self.unpublished.settled(number)  # who makes copies has no base for the next one when this one failed
            if failure and not self._closing:
                logger.warning(
                    "the analytics store's copy was not published; trying again later",
                    extra={"action": "publish_failed", "reason": failure},
                )
                self._published = None
            now = time.monotonic()
            # What follows one that was written whole catches up with what came meanwhile, and is soon done.
            rest = _REST_OF_BROKEN * (now - began) if failure else 0.0
            self._next_at = max(began + self._interval_s, now + rest)
            self._busy.release()


def _copy(files: Sequence[Path], directory: Path) -> None:
    """Copy files into a directory. Raises OSError, also when it takes too long.

    Another process does it: DuckDB's lock is one of ``fcntl``'s, which a process loses on a file as soon as it closes any
    descriptor of it, whoever opened that. `cp`, because it begins in 5 ms however large this process is, where a fork takes
    ten times that, and because it runs at this one's priority, which waits for it.
    """
    command = ["cp", "--", *map(str, files), str(directory)]
    try:
        # In a session of its own: an interrupt at a terminal is for this process alone.
        copied = subprocess.run(
            command,
            env=bare_environment() | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_PAUSE_S,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise OSError(errno.ETIMEDOUT, f"it took more than {_PAUSE_S:g} s") from exc
    if copied.returncode:
        why = copied.stderr.decode(errors="replace").strip().rpartition(": ")[2]
        raise OSError(errno.EIO, why or f"cp ended with exit code {copied.returncode}")


class _Copier:
    """The child process, projectors/analytics/copying.py: begun with the first copy, and anew when it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def publish(self, copy: Path, target: Path, number: int) -> str | None:
        """Why it failed; None when it did not. One thread at a time."""
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        end = threading.Timer(_COPY_S, self.kill)
        end.daemon = True
        end.start()
        said = b""
        try:
            with suppress(BrokenPipeError):  # it has ended: then it says nothing either
                process.stdin.write(json.dumps([str(copy), str(target), number]).encode() + b"\n")
                said = process.stdout.readline()
        finally:
            end.cancel()
        if said:
            return json.loads(said) or None
        return f"the process that makes copies ended, or took more than {_COPY_S:.0f} s: exit code {self.end()}"

    def end(self) -> int | None:
        """End it; its exit code, None without one. Not while it makes a copy for another thread."""
        self.kill()
        process, self._process = self._process, None
        if process is None:
            return None
        with process:  # waits, and closes what leads to it
            return process.wait()

    def kill(self) -> None:
        """End it, with the copy that it makes. From any thread."""
        if (process := self._process) is not None:
            process.terminate()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            # It ends by itself when nobody can ask any more.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "projectors.analytics.copying"],
                env=bare_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,  # what it did not take because it ended is not tried again when its input is closed
            )
        return self._process

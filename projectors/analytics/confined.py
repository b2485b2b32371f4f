"""Work in a forked process that the kernel confines: it may compute, and hand over what it found, and nothing else.

The fork sees the store's memory as it is at that moment and reads the store's file through what is open already. It can
open no file, write none, take no more memory than allowed and is ended when its time is up, whatever it runs: this holds
where DuckDB's own limits do not (notes on DuckDB 2.0, section 1.5). Redis saves its data in the same way.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from config.settings import Settings
from projectors.analytics.quiet import Quiet

Work = Callable[[BinaryIO], None]  #: writes its result

_TURN_S = 1.0  # longest wait for one of the places
_QUIET_S = 1.0  # longest wait for the calls of the store to pause; others wait behind it
_GRACE_S = 1.0  # of processor time beyond the deadline, should this process not be there to end the other
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CHUNK = 1 << 16
_OWN_BYTES = 64 << 20  # what an answer takes besides: DuckDB's own limit, whose error says more, comes first
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Busy(Exception):
    """No place, or no moment to fork, in time; asking again may help."""


class Ended(Exception):
    """The process did not come to an end of its own; ``by_time`` says whether its time was up."""

    def __init__(self, *, by_time: bool) -> None:
        super().__init__("its time was up" if by_time else "it was ended by the system")
        self.by_time = by_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one process may take."""

    seconds: float = 10.0
    memory_bytes: int = 256 << 20  #: beyond what it shares with this process
    result_bytes: int = 32 << 20
    at_once: int = 2  #: processes

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Of one statement of ad hoc SQL."""
        return cls(
            seconds=settings.sql_timeout_s,
            memory_bytes=settings.sql_memory,
            result_bytes=settings.sql_bytes,
            at_once=settings.sql_statements,
        )


DEFAULT_LIMITS = Limits()


class Confinement:
    """Runs work in processes of one store; from any thread."""

    def __init__(self, quiet: Quiet, limits: Limits, keep: Sequence[Path]) -> None:
        """``keep``: the files that the work goes on reading."""
        self._quiet = quiet
        self.limits = limits
        self._keep = frozenset(str(path.resolve()) for path in keep)
        self._places = threading.BoundedSemaphore(limits.at_once)
        self._forking = threading.Lock()
        self._living = threading.Condition()
        self._alive = 0
        self._rest = False
        self._pids: set[int] = set()
        self._closed = False
        self.peak_bytes = 0  #: the most that one of them held of the machine's memory, with what it shared

    def run(self, work: Work) -> bytes:
        """What ``work`` wrote. Raises Busy and Ended."""
        if not self._places.acquire(timeout=_TURN_S):
            raise Busy(f"{self.limits.at_once} statements run already")
        try:
            return self._run(work)
        finally:
            self._places.release()

    @contextmanager
    def none_alive(self) -> Generator[bool]:
        """Whether none of the processes is alive, and keeps it so for as long as the block runs.

        What they read of the file must not be written over, which a checkpoint would. Where some are alive no further one
        begins before this has been tried again without any: or a busy endpoint would put the checkpoint off for ever.
        """
        with self._living:
            self._rest = self._alive > 0
            none = not self._rest
            if none:
                self._alive = -1
        try:
            yield none
        finally:
            if none:
                with self._living:
                    self._alive = 0
                    self._living.notify_all()

    def close(self) -> None:
        """End the processes and begin no other: what they read may be written over from here on."""
        with self._living:
            self._closed = True
            for pid in self._pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._living.wait_for(lambda: self._alive <= 0, self.limits.seconds)

    def _run(self, work: Work) -> bytes:
        deadline = time.monotonic() + self.limits.seconds
        with self._living:
            if not self._may_begin():
                raise Busy("the store waits to be checkpointed")
            if self._closed:
                raise Busy("the store is being closed")
            self._alive += 1
        try:
            with self._forking, self._quiet.forking(_QUIET_S) as quiet:
                if not quiet:
                    raise Busy("the projector is in the middle of a long statement")
                pid, pipe = self._fork(work)
            try:
                with self._living:
                    self._pids.add(pid)
                    if self._closed:
                        os.kill(pid, signal.SIGKILL)
                return self._read(pid, pipe, deadline)
            finally:
                os.close(pipe)
        finally:
            with self._living:
                self._alive -= 1
                self._living.notify_all()

    def _may_begin(self) -> bool:
        """Wait for a checkpoint that is due or runs; False when one is still to come."""

        def free() -> bool:
            return self._alive >= 0 and not self._rest

        self._living.wait_for(lambda: free() or not self._alive, self.limits.seconds)
        # Nobody tries again while nothing changes: then there is no hurry with the checkpoint either, and whoever waits
        # for it still needs time for the statement.
        if not self._living.wait_for(free, 0 if self._alive else _TURN_S):
            if self._alive:
                return False
            self._rest = False
        return True

    def _fork(self, work: Work) -> tuple[int, int]:
        """The process's number, and where its result comes out. Raises Busy when the system has room for none."""
        result = into = -1
        try:
            result, into = os.pipe()
            pid = os.fork()
        except OSError as exc:
            if into >= 0:
                os.close(result)
                os.close(into)
            raise Busy(f"no process can begin now: {exc.strerror}") from exc
        if pid:
            os.close(into)
            return pid, result
        try:  # in the copy, which must never return from here
            self._confine(into)
            with open(into, "wb", closefd=False) as written:
                work(written)
            os._exit(0)
        except BaseException as exc:
            os.write(into, type(exc).__name__.encode())
        finally:
            os._exit(1)

    def _read(self, pid: int, pipe: int, deadline: float) -> bytes:
        """All of the result, when the process has come to its end."""
        parts: list[bytes] = []
        taken, most, by_time = 0, self.limits.result_bytes + _CHUNK, False
        waiting = select.poll()
        waiting.register(pipe, select.POLLIN)
        while True:
            left = deadline - time.monotonic()
            if by_time := left <= 0 or not waiting.poll(left * 1_000):
                break
            part = os.read(pipe, _CHUNK)
            parts.append(part)
            taken += len(part)
            if not part or taken > most:
                break
        if by_time or taken > most:
            os.kill(pid, signal.SIGKILL)
        with self._living:  # not its number any more once it has been waited for
            self._pids.discard(pid)
            _, status, usage = os.wait4(pid, 0)
            self.peak_bytes = max(self.peak_bytes, usage.ru_maxrss << 10)
        result = b"".join(parts)
        if self._closed and status:
            raise Busy("the store is being closed")
        if os.WIFSIGNALED(status):
            raise Ended(by_time=by_time or os.WTERMSIG(status) == signal.SIGXCPU)
        if status:
            raise RuntimeError(f"a confined process failed: {result.decode(errors='replace')}")
        return result

    def _confine(self, result: int) -> None:
        """In the forked process: give up what the work does not need. In this order: the last lines need no file."""
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody would read its result
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.nice(19)
        with suppress(OSError):  # the first to go when the machine runs out of memory
            Path("/proc/self/oom_score_adj").write_text("1000")
        size = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE
        # Its sockets among them: a caller waits for the end of a connection until the last copy of it is closed.
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                if int(name) != result and os.readlink(f"/proc/self/fd/{name}") not in self._keep:
                    os.close(int(name))
        seconds = int(self.limits.seconds + _GRACE_S) + 1
        for what, most in (
            (resource.RLIMIT_AS, size + self.limits.memory_bytes + _OWN_BYTES),
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_NOFILE, 0),
            (resource.RLIMIT_NPROC, 0),
        ):
            resource.setrlimit(what, (most, most))

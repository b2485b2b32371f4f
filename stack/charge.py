"""One component in the supervisor's care: a small state machine, moved on by being looked at."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from stack.components import Component
from stack.errors import StackError
from stack.logfiles import last_error
from stack.process import kill, stop

logger = logging.getLogger(__name__)

_PROBE_FAST_S, _PROBE_SLOW_S = 0.05, 1.0  # between two probes, while starting and when healthy
_BACK_OFF_FIRST_S, _BACK_OFF_MOST_S = 0.2, 10.0
_BELIEVED_AFTER_S = 20.0  # of health: a projector may wait some ten for its store and then refuse
_REFUSED = 2  # exit code of our own processes when going on would be wrong; the log's last error says why
_FORGIVEN_AFTER_S = 30.0  # of health: then the next restart is quick again

Submit = Callable[[Callable[[], object]], Future[object]]


class Charge:
    """waiting → preparing → starting → healthy ⇄ unresponsive; when the process ends: restarting → preparing."""

    def __init__(self, component: Component, log: Path, submit: Submit) -> None:
        """``submit`` runs a function beside the supervisor's thread."""
        self.log = log
        self.state = "waiting"
        self.restarts = 0
        self.was_healthy = False
        #: What makes going on senseless: a preparation that failed for a reason the user must act on.
        self.failure: StackError | None = None
        #: What it said when it ended because going on would be wrong; empty once it is healthy for a while.
        self.refusal = ""
        self._component = component
        self._submit = submit
        self._process: subprocess.Popen[bytes] | None = None
        self._work: Future[object] | None = None
        self._not_before = 0.0
        self._back_off_s = _BACK_OFF_FIRST_S
        self._healthy_since = 0.0

    @property
    def name(self) -> str:
        """The component's name."""
        return self._component.name

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of components that must be healthy before it starts."""
        return self._component.needs

    @property
    def pid(self) -> int | None:
        """The running process; None when there is none."""
        return None if self._process is None else self._process.pid

    def advance(self, is_healthy: Callable[[str], bool]) -> None:
        """Look at the process and at work under way, and take the next step if it is time."""
        if self._process is not None and self._process.poll() is not None:
            self._ended(self._process.returncode)
        if self._work is not None and not self._work.done():
            return
        if self.state in ("waiting", "restarting"):
            if time.monotonic() >= self._not_before and all(is_healthy(name) for name in self.needs):
                self.state = "preparing"
                self._work = self._submit(self._component.prepare)
        elif self.state == "preparing":
            self._prepared()
        else:
            self._probed()

    def stop(self) -> None:
        """End the process: politely, then not."""
        if self._process is None:
            return
        if stop(self._process, self._component.polite, timeout_s=self._component.stop_timeout_s):
            self._component.stopped()
        else:
            logger.warning(
                f"{self.name} did not stop within {self._component.stop_timeout_s:.0f} s and was killed",
                extra={"action": "component_killed", "component": self.name},
            )
        self._process, self.state = None, "stopped"

    def _prepared(self) -> None:
        if (error := self._take_work_error()) is not None:
            return self._failed(error)
        self._process = self._component.start(self.log)
        self.state = "starting"

    def _probed(self) -> None:
        """Use the answer of the last probe, if there was one, and ask again when it is time."""
        work, self._work = self._work, None
        if work is not None:
            if (error := work.exception()) is not None:
                return self._failed(error)
            self._answered(bool(work.result()))
        if time.monotonic() >= self._not_before:
            self._not_before = time.monotonic() + (_PROBE_SLOW_S if self.state == "healthy" else _PROBE_FAST_S)
            self._work = self._submit(self._probe)

    def _probe(self) -> bool:
        if self.state == "healthy" and self._component.answers is not None:
            return self._component.answers()
        if not self._component.ready():
            return False
        if not self.was_healthy:
            self._component.first_ready()
        return True

    def _answered(self, ready: bool) -> None:
        now = time.monotonic()
        if ready and self.state != "healthy":
            logger.info(f"{self.name} is healthy", extra={"action": "component_healthy", "component": self.name})
            self.state, self.was_healthy, self._healthy_since = "healthy", True, now
        elif not ready and self.state == "healthy":
            self.state = "unresponsive"
        if self.state == "healthy" and now - self._healthy_since > _FORGIVEN_AFTER_S:
            self._back_off_s = _BACK_OFF_FIRST_S
        if self.state == "healthy" and now - self._healthy_since > _BELIEVED_AFTER_S:
            self.refusal = ""

    def _ended(self, code: int) -> None:
        if self._process is not None:
            kill(self._process)  # what it has left in its group
        logger.warning(
            f"{self.name} ended with code {code} and is started again in {self._back_off_s:.1f} s; see {self.log}",
            extra={"action": "component_ended", "component": self.name, "code": code},
        )
        self._process = None
        if code == _REFUSED:
            self.refusal = last_error(self.log)
        self._restart()

    def _failed(self, error: BaseException) -> None:
        """A preparation or the first steps after the start went wrong."""
        if isinstance(error, StackError) and not self.was_healthy:
            self.failure = error
        logger.warning(
            f"{self.name} could not be made ready: {error}",
            extra={"action": "component_failed", "component": self.name},
        )
        if self._process is not None:
            kill(self._process)
            self._process = None
        self._restart()

    def _restart(self) -> None:
        self.restarts += 1
        self.state = "restarting"
        self._not_before = time.monotonic() + self._back_off_s
        self._back_off_s = min(2 * self._back_off_s, _BACK_OFF_MOST_S)

    def _take_work_error(self) -> BaseException | None:
        work, self._work = self._work, None
        return None if work is None else work.exception()

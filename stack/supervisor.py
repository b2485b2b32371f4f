"""Keeps the components of a native stack running: starts them in order, watches, restarts, and stops them.

One thread does everything that touches a process, for the kernel ties a child's life to the thread that started it;
what may take long (preparing, probing) runs in a pool. The connector, which lives in Kafka Connect and not in a process
of its own, has a thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stack.charge import Charge
from stack.components import Component
from stack.errors import ComponentFailed
from stack.logfiles import keep_bounded
from stack.process import tail
from stack.state import ComponentState

logger = logging.getLogger(__name__)

_TICK_S = 0.05
_LOG_CHECK_S = 5.0
_DEATHS_BEFORE_GIVING_UP = 6  # of a component that never was healthy


class Supervisor:
    """The life of one stack, from the first start to the last stop."""

    def __init__(
        self,
        components: Sequence[Component],
        logs: Path,
        *,
        tell: Callable[[str, tuple[ComponentState, ...]], None],
    ) -> None:
        """``tell`` is called with the stack's state and its components' at every change."""
        self._logs = logs
        self._tell = tell
        self._told: object = None
        self._pool = ThreadPoolExecutor(max_workers=2 * len(components) + 1, thread_name_prefix="stack")
        self._charges = [Charge(each, logs / f"{each.name}.log", self._pool.submit) for each in components]

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop`` is set.

        Raises StackError, with everything stopped, when a component never becomes healthy.
        """
        was_healthy = False
        log_check = time.monotonic() + _LOG_CHECK_S
        try:
            while not stop.is_set():
                for charge in self._charges:
                    charge.advance(self._is_healthy)
                    self._give_up_on(charge)
                now_healthy = self._all_healthy()
                was_healthy |= now_healthy
                self._report("healthy" if now_healthy else "degraded" if was_healthy else "starting")
                if time.monotonic() > log_check:
                    keep_bounded(self._logs)
                    log_check = time.monotonic() + _LOG_CHECK_S
                stop.wait(_TICK_S)
        finally:
            self._stop()

    def _give_up_on(self, charge: Charge) -> None:
        if charge.failure is not None:
            raise charge.failure
        if not charge.was_healthy and charge.restarts >= _DEATHS_BEFORE_GIVING_UP:
            raise ComponentFailed(
                f"{charge.name} ended {charge.restarts} times without becoming ready; its log, {charge.log}, ends:\n"
                f"{charge.refusal or tail(charge.log)}"
            )

    def _is_healthy(self, name: str) -> bool:
        """True if the component is healthy, or somebody else's."""
        return all(charge.state == "healthy" for charge in self._charges if charge.name == name)

    def _all_healthy(self) -> bool:
        return all(charge.state == "healthy" for charge in self._charges)

    def _report(self, state: str) -> None:
        components = tuple(
            ComponentState(
                name=charge.name,
                state=charge.state,
                pid=charge.pid,
                restarts=charge.restarts,
                error=charge.refusal,
            )
            for charge in self._charges
        )
        if (state, components) != self._told:
            self._told = (state, components)
            self._tell(state, components)

    def _stop(self) -> None:
        """Stop in the reverse order of need: nobody loses what it needs while it still finishes its work."""
        self._report("stopping")
        self._pool.shutdown(wait=False, cancel_futures=True)
        for wave in _waves([charge for charge in self._charges if charge.pid is not None]):
            with ThreadPoolExecutor(max_workers=len(wave)) as stopping:
                list(stopping.map(Charge.stop, wave))
            self._report("stopping")
        self._pool.shutdown(wait=True)
        self._report("stopped")


def _waves(charges: list[Charge]) -> list[list[Charge]]:
    """Groups to stop one after the other, those that no remaining one needs first."""
    waves: list[list[Charge]] = []
    while charges:
        needed = {name for charge in charges for name in charge.needs}
        wave = [charge for charge in charges if charge.name not in needed]
        waves.append(wave)
        charges = [charge for charge in charges if charge not in wave]
    return waves

"""``readside chaos --analytics``: SIGKILL after SIGKILL of the analytics projector and of nothing else, then the oracle.

The projector is started here and not by the supervisor, which would wait longer and longer before it starts again what
ends again and again. Half of its lives end while it starts, at any moment of that; the others once it has applied
something, at any moment of its work: in a batch, a commit, a checkpoint of the file, a copy being made.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Any

import httpx

from config.environment import environment_of
from config.settings import Settings
from stack import bearer, terminal
from stack.chaos import MADE, at_work, own_directory, write_figures
from stack.churn import Churn
from stack.demo import running
from stack.errors import ComponentFailed
from stack.freshness import percentile
from stack.judge import Judgement, analytics_position, await_stores, judge, orders_of
from stack.load import Load, Write
from stack.onlooker import Onlooker
from stack.plan import NAMES
from stack.process import kill, spawn, stop, tail
from stack.terminal import Output, data, talk
from stack.witness import Sight

VICTIM = "projector-analytics"
#: What runs beside it and is left alone.
OTHERS = ",".join(name for name in NAMES if name != VICTIM)
# Enough that there is always something to apply, and little enough that a start takes its own time and no more.
_RATE, _WORKERS = 10.0, 2  # of the load over HTTP
_CHURN_WORKERS, _CHURN_PAUSE_S = 1, (0.03, 0.12)
_ALIVE_S = 60.0  # longest until it has applied something
_AT_REST_S = 180.0
_STARTING = 1 / 2  # of the lives end before it is known to have applied anything
_START_MOST_S, _WORK_MOST_S = 2.5, 0.6
_LOOK_S = 0.02


@dataclass(slots=True)
class Outcome:
    """All that a run has shown."""

    seed: int
    starting: int = 0  #: kills before the projector was seen to have applied anything in that life
    at_work: list[float] = field(default_factory=list[float])  #: of the others, seconds from start to first progress
    sight: Sight = field(default_factory=Sight)
    acknowledged: int = 0
    judgement: Judgement | None = None

    @property
    def clean(self) -> bool:
        """Nothing at all is wrong."""
        assert self.judgement is not None
        return not (self.judgement.wrong or self.sight.torn or self.sight.backwards)


def run(settings: Settings, *, kills: int, seed: int | None, output: Output | None) -> int:
    """Exit code 0 when nothing was torn, lost, doubled or different; 1 otherwise. On a stack of its own."""
    seed = SystemRandom().randrange(2**31) if seed is None else seed
    talk.print(f"seed {seed}: the same moments again by `readside chaos --analytics --cycles {kills} --seed {seed}`")
    with own_directory(settings) as chosen, running(chosen, only=OTHERS, ports="auto") as stack:
        outcome = disturb(stack, kills=kills, seed=seed)
    path = write_figures(settings.data_dir / "chaos" / f"analytics-{seed}.json", figures(outcome))
    if terminal.chosen(output) == "json":
        terminal.print_json(figures(outcome))
    else:
        for name, value in figures(outcome).items():
            data.print(f"  {name:<24} {value}", markup=False)
    talk.print(f"kept in {path}", style="dim")
    return 0 if outcome.clean else 1


def disturb(settings: Settings, *, kills: int, seed: int) -> Outcome:
    """Run the projector of a stack that is healthy without it through so many kills, and judge it."""
    outcome = Outcome(seed)
    acknowledged: dict[str, set[str]] = defaultdict(set)
    earlier = orders_of(settings)

    def on_write(write: Write) -> None:
        if write.kind in MADE:
            acknowledged[MADE[write.kind]].add(write.id)

    url = f"http://{settings.writer_address}"
    load = Load(url, headers=bearer.headers(settings), seed=seed, rate=_RATE, workers=_WORKERS, on_write=on_write)
    load.prepare(users=30, products=20)
    victim, random = _Victim(settings), Random(f"{seed}/kills")
    churn = Churn(settings, seed=seed, workers=_CHURN_WORKERS, pause_s=_CHURN_PAUSE_S)
    onlooker = Onlooker(settings)
    with victim.living():
        await_stores(settings, _AT_REST_S)  # the snapshot is loaded: kills of that are for the tests of snapshots
    with at_work(load):
        churn.start()
        onlooker.start()
        try:
            for number in range(1, kills + 1):
                _life(victim, random, outcome)
                if number % 10 == 0 or number == kills:
                    talk.print(f"kill {number}/{kills}, {onlooker.looks} looks", style="dim")
        finally:
            ledger, outcome.sight = churn.stop(), onlooker.stop()
    outcome.acknowledged = load.report.done.total() + len(ledger.acknowledged)
    with victim.living():
        await_stores(settings, _AT_REST_S)
        outcome.judgement = judge(settings, ledger, acknowledged, load.report.unanswered, earlier)
    return outcome


def figures(outcome: Outcome) -> dict[str, Any]:
    """What is printed and kept."""
    judgement = outcome.judgement
    assert judgement is not None
    progress = outcome.at_work or [0.0]
    return {
        "seed": outcome.seed,
        "kills": outcome.starting + len(outcome.at_work),
        "kills_while_starting": outcome.starting,
        "kills_at_work": len(outcome.at_work),
        "start_to_progress_p50_s": round(percentile(progress, 0.5), 2),
        "start_to_progress_most_s": round(max(progress), 2),
        "acknowledged": outcome.acknowledged,
        "lost": judgement.lost,
        "doubled": judgement.doubled,
        "phantom": judgement.phantom,
        "looks": outcome.sight.looks,
        "torn": len(outcome.sight.torn),
        "backwards": outcome.sight.backwards,
        "rows_compared": sum(v.rows for v in judgement.models) + sum(t.rows for t in judgement.tables),
        "differences": judgement.differences,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


class _Victim:
    """The analytics projector, as the supervisor would start it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log = settings.data_dir / "logs" / f"{VICTIM}.log"
        self.reached = 0  #: position that it has been seen to stand at

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "projectors", "analytics"]
        return spawn(command, log=self.log, cwd=self.settings.data_dir, env=environment_of(self.settings))

    @contextmanager
    def living(self) -> Generator[None]:
        """It lives for as long as the block runs, and ends as a stack that is stopped does."""
        process = self.start()
        try:
            yield
        finally:
            stop(process)

    def progress(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it stands further than it ever was seen to. Raises ComponentFailed when it ends or never does."""
        deadline = time.monotonic() + _ALIVE_S
        while process.poll() is None and time.monotonic() < deadline:
            try:
                position = analytics_position(self.settings)
            except httpx.HTTPError:
                position = 0
            if position > self.reached:
                self.reached = position
                return
            time.sleep(_LOOK_S)
        kill(process)
        raise ComponentFailed(f"the analytics projector applies nothing; its log, {self.log}, ends:\n{tail(self.log)}")


def _life(victim: _Victim, random: Random, outcome: Outcome) -> None:
    """Start it, let it live for a while, and kill it."""
    starting = random.random() < _STARTING
    more_s = random.uniform(0.0, _START_MOST_S if starting else _WORK_MOST_S)
    began = time.monotonic()
    process = victim.start()
    if starting:
        outcome.starting += 1
    else:
        victim.progress(process)
        outcome.at_work.append(time.monotonic() - began)
    threading.Event().wait(more_s)
    if process.poll() is not None:
        raise ComponentFailed(f"the analytics projector ended by itself; its log ends:\n{tail(victim.log)}")
    os.kill(process.pid, signal.SIGKILL)
    kill(process)  # and what it leaves in its group, as the supervisor does

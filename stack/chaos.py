"""``readside chaos``: load, random faults in every process, a reader that looks all the while, and then the oracle."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

from config.settings import Settings
from stack import bearer, faults, terminal
from stack.churn import Churn, Ledger
from stack.demo import running
from stack.errors import StackError
from stack.faults import Fault
from stack.freshness import percentile
from stack.judge import Judgement, await_stores, judge, orders_of
from stack.load import Load, Report, Write
from stack.plan import NAMES
from stack.terminal import Output, data, talk
from stack.witness import Sight, Witness

_RATE, _WORKERS = 30.0, 3  # of the load over HTTP
_RECOVERY_S = 180.0  # longest that a cycle may take to recover
_QUIET_MOST_S = 1.5  # between a recovery and the next fault
#: Commands whose answers name a new row, and its table.
MADE = {"place_order": "orders", "register_user": "users", "offer_product": "products"}


@dataclass(frozen=True, slots=True)
class Cycle:
    """One fault and its recovery."""

    fault: Fault
    seconds: float  #: from the fault, a pause's end, until both stores hold what the source held then


@dataclass(slots=True)
class Outcome:
    """All that a run has shown."""

    seed: int
    cycles: list[Cycle] = field(default_factory=list[Cycle])
    report: Report = field(default_factory=Report)
    ledger: Ledger = field(default_factory=Ledger)
    sight: Sight = field(default_factory=Sight)
    judgement: Judgement | None = None

    @property
    def clean(self) -> bool:
        """Nothing at all is wrong."""
        assert self.judgement is not None
        return not (self.judgement.wrong or self.sight.torn or self.sight.backwards)


def run(settings: Settings, *, cycles: int, seed: int | None, own: bool, output: Output | None) -> int:
    """Exit code 0 when nothing was lost, doubled, torn or different; 1 otherwise.

    ``own``: on a stack of its own in a directory of its own; otherwise on that of the data directory.
    """
    seed = SystemRandom().randrange(2**31) if seed is None else seed
    talk.print(f"seed {seed}: the same faults again by `readside chaos --cycles {cycles} --seed {seed}`")
    with own_directory(settings) if own else nullcontext(settings) as chosen, running(chosen, ports="auto") as stack:
        outcome = disturb(stack, cycles=cycles, seed=seed)
        if not outcome.clean:
            kept = stack.data_dir.with_name(f"{stack.data_dir.name}-failed")
            shutil.copytree(stack.data_dir / "logs", kept, dirs_exist_ok=True)
            talk.print(f"the logs of this run are kept in {kept}")
    path = write_figures(settings.data_dir / "chaos" / f"{seed}.json", _figures(outcome))
    if terminal.chosen(output) == "json":
        terminal.print_json(_figures(outcome))
    else:
        show(outcome)
    talk.print(f"kept in {path}", style="dim")
    return 0 if outcome.clean else 1


def disturb(settings: Settings, *, cycles: int, seed: int) -> Outcome:
    """Run a healthy stack through these cycles and judge it."""
    random = Random(f"{seed}/faults")
    outcome = Outcome(seed)
    acknowledged: dict[str, set[str]] = defaultdict(set)
    earlier = orders_of(settings)  # a stack that somebody used before

    def on_write(write: Write) -> None:
        if write.kind in MADE:
            acknowledged[MADE[write.kind]].add(write.id)

    load = Load(
        f"http://{settings.writer_address}",
        headers=bearer.headers(settings),
        seed=seed,
        rate=_RATE,
        workers=_WORKERS,
        on_write=on_write,
    )
    load.prepare(users=30, products=20)
    await_stores(settings, _RECOVERY_S)
    churn, witness = Churn(settings, seed=seed), Witness(settings)
    with at_work(load):
        churn.start()
        witness.start()
        try:
            for number in range(1, cycles + 1):
                outcome.cycles.append(_cycle(settings, random))
                _say(number, cycles, outcome.cycles[-1])
        finally:
            outcome.ledger, outcome.sight = churn.stop(), witness.stop()
    outcome.report = load.report
    await_stores(settings, _RECOVERY_S)
    outcome.judgement = judge(settings, outcome.ledger, acknowledged, outcome.report.unanswered, earlier)
    return outcome


def show(outcome: Outcome) -> None:
    """Print the summary."""
    judgement = outcome.judgement
    assert judgement is not None
    rows = [
        (
            name,
            len(seconds),
            f"{percentile(seconds, 0.5):.1f}",
            f"{percentile(seconds, 0.95):.1f}",
            f"{max(seconds):.1f}",
        )
        for name, seconds in sorted(_recoveries(outcome).items())
    ]
    data.print(terminal.table(("process", "faults", "recovery p50, s", "p95, s", "longest, s"), rows))
    for name, value in _figures(outcome).items():
        if not isinstance(value, dict | list):
            data.print(f"  {name:<24} {value}", markup=False)
    for table in judgement.tables:
        if table.missing or table.unexpected:
            data.print(f"mirror.{table.table}: {table.missing} missing, {table.unexpected} unexpected", markup=False)
    for verdict in judgement.models:
        if verdict.differences:
            data.print(f"{verdict.model}: {dict(verdict.kinds)}; first keys: {verdict.first}", markup=False)


def _cycle(settings: Settings, random: Random) -> Cycle:
    fault = faults.chosen(random, NAMES)
    quiet = threading.Event()
    quiet.wait(random.uniform(0.0, _QUIET_MOST_S))
    faults.inflict(settings, fault, quiet)
    began = time.monotonic()
    await_stores(settings, _RECOVERY_S)
    return Cycle(fault, time.monotonic() - began)


@contextmanager
def at_work(load: Load) -> Generator[None]:
    """The load runs for as long as the block does. Raises StackError when it stopped by itself."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            load.run(float("inf"))
        except BaseException as exc:
            failed.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        load.stop()
        thread.join()
    if failed:
        raise StackError(f"the load stopped: {failed[0]}") from failed[0]


@contextmanager
def own_directory(settings: Settings) -> Generator[Settings]:
    """The settings in a data directory of their own, which is gone behind the block."""
    directory = Path(tempfile.mkdtemp(prefix="readside-chaos-"))
    try:
        yield settings.model_copy(update={"data_dir": directory})
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _say(number: int, cycles: int, cycle: Cycle) -> None:
    data.print(f"cycle {number}/{cycles}  {cycle.fault}  recovered in {cycle.seconds:.1f} s", markup=False)


def _recoveries(outcome: Outcome) -> dict[str, list[float]]:
    by_process: dict[str, list[float]] = defaultdict(list)
    for cycle in outcome.cycles:
        by_process["walsender" if cycle.fault.kind == "cut" else cycle.fault.component].append(cycle.seconds)
    return by_process


def _figures(outcome: Outcome) -> dict[str, Any]:
    judgement = outcome.judgement
    assert judgement is not None
    ledger, sight = outcome.ledger, outcome.sight
    return {
        "seed": outcome.seed,
        "cycles": len(outcome.cycles),
        "acknowledged": outcome.report.done.total() + len(ledger.acknowledged),
        "unanswered": outcome.report.unanswered + len(ledger.unknown),
        "lost": judgement.lost,
        "doubled": judgement.doubled,
        "phantom": judgement.phantom,
        "looks": sight.looks,
        "torn": len(sight.torn),
        "backwards": sight.backwards,
        "rewound_by_crashes": sight.rewound,
        "rows_compared": sum(v.rows for v in judgement.models) + sum(t.rows for t in judgement.tables),
        "differences": judgement.differences,
        "recovery": {
            name: {"faults": len(s), "p50_s": percentile(s, 0.5), "p95_s": percentile(s, 0.95), "most_s": max(s)}
            for name, s in sorted(_recoveries(outcome).items())
        },
        "python": platform.python_version(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "faults": [asdict(cycle) for cycle in outcome.cycles],
    }


def write_figures(path: Path, figures: dict[str, Any]) -> Path:
    """Keep what a run has shown, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
    return path

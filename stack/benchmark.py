"""``readside bench``: a benchmark on the running stack, or on one that is started for it and stopped afterwards."""

from __future__ import annotations

import importlib
from dataclasses import asdict

from benchmarks.result import Result
from config.settings import Settings
from stack import terminal
from stack.demo import running
from stack.errors import StackError
from stack.terminal import Output, data, talk

_NAMES = ("analytics", "freshness", "hot-keys", "catch-up", "large-transaction", "product-page", "rebuild")


def run(settings: Settings, name: str, *, output: Output | None) -> int:
    """Run one benchmark; exit code 0 when every goal is met, 1 otherwise."""
    if name not in _NAMES:
        raise StackError(f"there is no benchmark {name}; there are {', '.join(_NAMES)}")
    benchmark = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
    with running(settings, only=getattr(benchmark, "NEEDS", ""), ports="auto") as stack:
        result: Result = benchmark.run(stack)
    path = result.write(settings.data_dir / "bench")
    if terminal.chosen(output) == "json":
        terminal.print_json(asdict(result))
    else:
        _show(result)
    talk.print(f"kept in {path}", style="dim")
    return 0 if all(met for _, _, met in result.goals.values()) else 1


def _show(result: Result) -> None:
    rows: list[tuple[str, str, str]] = []
    for name, value in result.figures.items():
        goal = result.goals.get(name)
        said = "" if goal is None else f"goal {goal[1]:g}: {'met' if goal[2] else 'missed'}"
        rows.append((name, f"{value:.2f}" if isinstance(value, float) else str(value), said))
    data.print(terminal.table((result.name, "measured", ""), rows))
    data.print(f"{result.cores} cores, load average {result.load_average:.1f}, Python {result.python}, {result.at}")

"""Commands that try readside hard: benchmarks and faults."""

from __future__ import annotations

from typing import Annotated

import typer

from stack.cli.options import DataDir, OutputOption, app, settings_of


@app.command(rich_help_panel="Prove")
def bench(
    name: Annotated[str, typer.Argument(help="Which benchmark.")] = "freshness",
    data_dir: DataDir = None,
    output: OutputOption = None,
) -> int:
    """Run a benchmark on a stack of its own, or the one that runs here; print its figures and keep them as JSON."""
    from stack.benchmark import run as bench

    return bench(settings_of(data_dir), name, output=output)


@app.command(rich_help_panel="Prove")
def chaos(
    data_dir: DataDir = None,
    cycles: Annotated[int, typer.Option(help="How many faults.", min=1)] = 40,
    seed: Annotated[int | None, typer.Option(help="Chooses the faults and the load.", show_default="random")] = None,
    analytics: Annotated[
        bool, typer.Option("--analytics", help="Only SIGKILLs, only of the analytics projector, on a stack of its own.")
    ] = False,
    output: OutputOption = None,
) -> int:
    """Load, random faults on every process, then the oracle. Without --data-dir on a stack of its own."""
    if analytics:
        from stack.kills import run as kill_analytics

        return kill_analytics(settings_of(data_dir), kills=cycles, seed=seed, output=output)
    from stack.chaos import run as chaos

    return chaos(settings_of(data_dir), cycles=cycles, seed=seed, own=data_dir is None, output=output)

"""``readside verify``: recompute read models from the source, compare row by row, show the first differing keys."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from cdc.errors import ReadsideError
from config.settings import Settings
from projectors import registry
from projectors.read_model import ReadModel
from projectors.verify import Verdict, oracle_of, verify
from stack import terminal
from stack.errors import StackError
from stack.terminal import Output, data

_AT_ONCE = 4  # models compared at the same time


def run(settings: Settings, names: Sequence[str], *, output: Output | None) -> int:
    """Verify the named models, all without a name. Exit code 0 when all are equal, 1 otherwise."""
    verdicts = verdicts_of(settings, names)
    if terminal.chosen(output) == "json":
        terminal.print_json([asdict(verdict) for verdict in verdicts])
    else:
        show(verdicts)
    return 1 if any(verdict.differences for verdict in verdicts) else 0


def verdicts_of(settings: Settings, names: Sequence[str] = ()) -> list[Verdict]:
    """Compare; raises StackError when that is not possible now."""
    try:
        models = _chosen(registry.load(settings.models).read_models, names)
        oracles = [oracle_of(model, settings.models) for model in models]
        with ThreadPoolExecutor(_AT_ONCE) as threads:  # each waits for its store to pass the source's position
            return [done.result() for done in [threads.submit(verify, settings, oracle) for oracle in oracles]]
    except ReadsideError as exc:
        raise StackError(str(exc)) from exc


def show(verdicts: Sequence[Verdict]) -> None:
    """Print them as a table, and the first differing keys beneath."""
    rows = [
        (
            verdict.model,
            verdict.store,
            verdict.rows,
            f"[{'red' if verdict.differences else 'green'}]{verdict.differences}[/]",
        )
        for verdict in verdicts
    ]
    data.print(terminal.table(("read model", "store", "rows compared", "differences"), rows))
    for verdict in verdicts:
        if verdict.differences:
            kinds = ", ".join(f"{count} {kind}" for kind, count in verdict.kinds.items())
            keys = ", ".join("/".join(map(str, key)) for key in verdict.first)
            data.print(f"{verdict.model}: {kinds}; first keys: {keys}", markup=False)


def _chosen(models: Sequence[ReadModel], names: Sequence[str]) -> list[ReadModel]:
    if unknown := set(names) - {model.name for model in models}:
        known = ", ".join(model.name for model in models)
        raise StackError(f"there is no read model {', '.join(sorted(unknown))}; there are {known}")
    return [model for model in models if not names or model.name in names]

"""``readside verify``: recompute read models from the source, compare row by row, show the first differing keys."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from cdc.catalog import read_tables
from cdc.connector import source_dsn
from cdc.errors import ReadsideError
from config.settings import Settings
from projectors import registry
from projectors.oracles import Check, Recomputation, oracle_of, oracle_of_table
from projectors.read_model import Declarations, ReadModel
from projectors.verify import Verdict, verify
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
        checks = checks_of(settings, names)
        with ThreadPoolExecutor(_AT_ONCE) as threads:  # each waits for its store to pass the source's position
            return [done.result() for done in [threads.submit(verify, settings, check) for check in checks]]
    except ReadsideError as exc:
        raise StackError(str(exc)) from exc


def checks_of(settings: Settings, names: Sequence[str] = ()) -> list[Check]:
    """What is compared for the named models, or for all: each with its oracle on the source.

    A model without an oracle is computed anew from the mirror, and the tables that it reads are compared with the source's;
    with no model at all, every table is.
    """
    declarations = registry.load(settings.models)
    checks: list[Check] = []
    tables: set[str] = set()
    for model in _chosen(declarations.read_models, names):
        oracle = oracle_of(model, settings.models)
        checks.append(oracle or Recomputation(model))
        if oracle is None:
            tables |= _tables_beneath(declarations, model)
    if declarations.read_models and not tables:
        return checks
    mirrored = read_tables(source_dsn(settings), settings.publication, settings.tables)
    return checks + [
        oracle_of_table(table) for table in mirrored if table.mirror in tables or not declarations.read_models
    ]


def _tables_beneath(declarations: Declarations, model: ReadModel) -> set[str]:
    """The source tables that a model reads, through rollups and other models too."""
    found: set[str] = set()
    by_reference = {declared.reference: declared for declared in declarations.maintained}
    waiting = set(model.reads)
    while waiting:
        name = waiting.pop()
        if name in by_reference:
            waiting |= by_reference[name].reads
        else:
            found.add(name)
    return found


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

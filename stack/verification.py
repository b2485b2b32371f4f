"""``readside verify``: recompute read models from the source, compare, show the rows that differ, make them equal."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import psycopg

from cdc.catalog import read_tables
from cdc.connector import source_dsn
from cdc.errors import ReadsideError
from config.settings import Settings
from projectors import registry
from projectors.read_model import Declarations, ReadModel
from projectors.rollup import Rollup
from projectors.verification import results
from projectors.verification.comparing import Difference, Verdict, verify
from projectors.verification.oracles import Check, Recomputation, oracle_of, oracle_of_table
from stack import serving_store, terminal
from stack.errors import StackError
from stack.terminal import Output, data, talk

_AT_ONCE = 4  # models compared at the same time
_SNAPSHOT_S, _LOOK_S = 30.0, 0.2


def run(
    settings: Settings, names: Sequence[str], *, output: Output | None, values: bool, repair: bool, assumed: bool
) -> int:
    """Verify the named models; without a name all, and the mirror. Exit code 0 when all are equal, 1 otherwise.

    ``values``: show what the first differing rows hold; ``repair``: make them equal, after asking unless ``assumed``.
    """
    _await_snapshot(settings)
    verdicts = _all_of(settings, names, values=values)
    as_json = terminal.chosen(output) == "json"
    if not as_json:
        show(verdicts)
    repaired: list[str] = []
    if repair and any(verdict.differences for verdict in verdicts):
        from stack.repair import repair as make_equal

        repaired = make_equal(settings, verdicts, assumed=assumed)
        if repaired:
            verdicts = _all_of(settings, names, values=values)
            if not as_json:
                show(verdicts)
    if as_json:
        terminal.print_json([_json(verdict, repaired) for verdict in verdicts])
    return 1 if any(verdict.differences for verdict in verdicts) else 0


def _await_snapshot(settings: Settings) -> None:
    """Until the serving store holds something to compare. Raises StackError when it does not come to."""
    deadline, told = time.monotonic() + _SNAPSHOT_S, False
    while _phase(settings) == "snapshot":
        if time.monotonic() > deadline:
            raise StackError(
                f"the first snapshot is not loaded after {_SNAPSHOT_S:.0f} s, so there is nothing to compare; "
                "`readside status` says what it waits for"
            )
        if not told:
            talk.print("the first snapshot is not loaded yet; waiting for it", style="dim")
            told = True
        time.sleep(_LOOK_S)


def _phase(settings: Settings) -> str:
    """snapshot until one is loaded; streaming also when nobody can be asked, which the comparison tells."""
    try:
        with serving_store.connected(settings, "readside verify") as store:
            row = store.execute("select phase from readside.checkpoint where store = 'serving'").fetchone()
            return row[0] if row else "snapshot"
    except psycopg.errors.UndefinedTable:
        return "snapshot"
    except (StackError, psycopg.Error):
        return "streaming"


def verdicts_of(settings: Settings, names: Sequence[str] = (), *, values: bool = False) -> list[Verdict]:
    """Compare; raises StackError when that is not possible now."""
    try:
        return _verdicts(settings, checks_of(settings, names), values=values)
    except ReadsideError as exc:
        raise StackError(str(exc)) from exc


def mirrored_verdicts_of(settings: Settings, *, values: bool = False) -> list[Verdict]:
    """Compare every mirrored table; raises StackError when that is not possible now."""
    try:
        tables = read_tables(source_dsn(settings), settings.publication, settings.tables)
        return _verdicts(settings, [oracle_of_table(table) for table in tables], values=values)
    except ReadsideError as exc:
        raise StackError(str(exc)) from exc


def _all_of(settings: Settings, names: Sequence[str], *, values: bool) -> list[Verdict]:
    verdicts = verdicts_of(settings, names, values=values)
    known = {verdict.model for verdict in verdicts}
    mirrored = [] if names else mirrored_verdicts_of(settings, values=values)
    return verdicts + [verdict for verdict in mirrored if verdict.model not in known]


def _verdicts(settings: Settings, checks: Sequence[Check], *, values: bool) -> list[Verdict]:
    with ThreadPoolExecutor(_AT_ONCE) as threads:  # each waits for its store to pass the source's position
        waiting = [threads.submit(verify, settings, check, values=values) for check in checks]
        return [done.result() for done in waiting]


def checks_of(settings: Settings, names: Sequence[str] = ()) -> list[Check]:
    """What is compared for the named models, or for all: each with its oracle on the source.

    A model without an oracle is computed anew from the mirror, and the tables that it reads are compared with the source's;
    with no model at all, every table is. So is one that another version than the code's serves: by its own declaration. A
    rollup is counted anew when it is named, or when the background verification found that it differs.
    """
    declarations = registry.load(settings.models)
    otherwise, differing = _known(settings, declarations)
    checks: list[Check] = []
    tables: set[str] = set()
    for model in _chosen(declarations, names, differing):
        served = otherwise.get(model.name, model)
        oracle = oracle_of(model, settings.models) if served is model and isinstance(model, ReadModel) else None
        checks.append(oracle or Recomputation(served))
        if oracle is None:
            tables |= declarations.tables_beneath(model)
    if declarations.read_models and not tables:
        return checks
    mirrored = read_tables(source_dsn(settings), settings.publication, settings.tables)
    return checks + [
        oracle_of_table(table) for table in mirrored if table.mirror in tables or not declarations.read_models
    ]


def _known(settings: Settings, declarations: Declarations) -> tuple[Mapping[str, ReadModel | Rollup], Collection[str]]:
    """By what declarations other than the code's models serve, and what was found to differ."""
    try:
        with serving_store.connected(settings, "readside verify") as store:
            served = results.built_otherwise(store, declarations.of_store("serving").fingerprints())
            differing = results.differing(store)
    except (StackError, psycopg.errors.UndefinedTable):
        return {}, ()  # it is not there, or holds nothing yet: whoever compares says so
    return {name: one for name, one in served.items() if isinstance(one, ReadModel | Rollup)}, differing


def show(verdicts: Sequence[Verdict]) -> None:
    """Print them as a table, and beneath it the first rows that differ."""
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
            keys = ", ".join("/".join(map(str, each.key)) for each in verdict.first)
            data.print(f"{verdict.model}: {kinds}; first keys: {keys}", markup=False)
            if verdict.columns:
                columns = ", ".join(f"{name} ({count})" for name, count in verdict.columns.items())
                data.print(f"  differing columns, with the number of rows: {columns}", markup=False)
            for each in verdict.first:
                _show_values(each)


def _show_values(row: Difference) -> None:
    for name in row.columns if row.expected is not None and row.stored is not None else ():
        key = "/".join(map(str, row.key))
        must_be, is_so = (row.expected or {}).get(name, "nothing"), (row.stored or {}).get(name, "nothing")
        data.print(f"  {key} {name}: must be {must_be}, is {is_so}", markup=False)


def _json(verdict: Verdict, repaired: Sequence[str]) -> dict[str, object]:
    told: dict[str, object] = asdict(verdict)
    first = [{name: value for name, value in asdict(row).items() if value is not None} for row in verdict.first]
    return told | {"first": first, "repaired": verdict.model in repaired}


def _chosen(declarations: Declarations, names: Sequence[str], differing: Collection[str]) -> list[ReadModel | Rollup]:
    if unknown := set(names) - {one.name for one in declarations.maintained}:
        known = ", ".join(model.name for model in declarations.read_models)
        raise StackError(f"there is no read model or rollup {', '.join(sorted(unknown))}; there are {known}")
    if names:
        return [one for one in (*declarations.read_models, *declarations.rollups) if one.name in names]
    return [*declarations.read_models, *(rollup for rollup in declarations.rollups if rollup.name in differing)]

"""``readside rebuild``: plan, build beside, progress, diff, swap; and the way back. The projector does the work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import psycopg
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.prompt import Confirm

from cdc.errors import ReadsideError
from config.settings import Settings
from projectors import registry
from projectors.declaration import FORMER, NEXT
from projectors.read_model import Declarations, ReadModel
from projectors.rollup import Rollup
from projectors.serving import rebuilds
from projectors.serving.rebuilds import Progressing, Rebuild
from stack import recomputation, terminal
from stack.differing import show, versions_compared
from stack.errors import StackError
from stack.replay import compared_with_replay, require_history
from stack.serving_store import connected
from stack.snapshot import take_snapshot
from stack.terminal import Output, talk

Origin = Literal["mirror", "kafka", "snapshot"]
Connection = psycopg.Connection[Any]

_LOOK_S = 0.2
_TAKEN_UP_S = 15.0  # a projector looks twice a second, unless it is in a long batch


def run(settings: Settings, names: Sequence[str], *, origin: Origin, yes: bool, output: Output | None) -> int:
    """Rebuild these, or go on with the rebuild that is under way. Exit code 0 swapped, 1 left as it was."""
    if names and (of_analytics := _of_analytics(_declared(settings), names)):
        if len(of_analytics) < len(names):
            raise StackError(f"{', '.join(of_analytics)} is of the analytics store; rebuild it by itself")
        talk.print(
            "They are computed anew in one transaction of the analytics store; until then the old rows are read."
        )
        if not _agreed("Compute them anew?", yes):
            return 1
        if origin == "snapshot":
            take_snapshot(settings, f"readside rebuild {' '.join(names)} --from snapshot")
        return recomputation.run(settings, names, output=output)
    with _serving(settings) as connection:
        rebuild = rebuilds.under_way(connection)
        if rebuild is None:
            if not names:
                raise StackError(
                    "no rebuild is under way; to begin one, name the read models: `readside models` lists them"
                )
            planned = _planned(_declared(settings), names)
            if origin == "kafka":
                require_history(settings)
            _show_plan(connection, planned, origin)
            if not _agreed("Build them beside those that serve?", yes):
                return 1
            if origin == "snapshot":
                take_snapshot(settings, f"readside rebuild {' '.join(names)} --from snapshot")
            elif origin == "kafka":
                _require_equal_replay(settings, planned)
            rebuild = _ask(connection, names)
        elif names and not set(names) <= set(rebuild.names):
            raise StackError(
                f"a rebuild of {', '.join(rebuild.names)} is under way; see it through with `readside rebuild`, or end it "
                "with `readside rebuild --cancel`"
            )
        built = _see_built(connection, rebuild.id)
        old, new = (FORMER, "") if built.state == "swapped" else ("", NEXT)
        found = versions_compared(connection, _declared(settings), built.names, old=old, new=new)
        show(found, output)
        if built.swaps:
            _see(connection, built.id, "swapped")
        elif not _agreed("Let the new versions take their place?", yes):
            talk.print("It is built and kept up; `readside rebuild` goes on from here, --cancel gives it up.")
            return 1
        else:
            rebuilds.wish(connection, built.id, "swap")
            _see(connection, built.id, "swapped")
    kept = f"; for {settings.rebuild_former_s:g} s `readside rebuild --rollback` leads back" if found else ""
    talk.print(f"{', '.join(built.names)}: the new versions serve{kept}")
    return 0


def cancel(settings: Settings) -> int:
    """End the rebuild that is under way; what serves goes on serving."""
    with _serving(settings) as connection:
        rebuild = rebuilds.under_way(connection)
        if rebuild is None:
            raise StackError("no rebuild is under way")
        rebuilds.wish(connection, rebuild.id, "cancel")
        _see(connection, rebuild.id, "cancelled")
    talk.print(f"cancelled: {', '.join(rebuild.names)}")
    return 0


def roll_back(settings: Settings, names: Sequence[str], *, yes: bool, output: Output | None) -> int:
    """Let the former versions serve again: of these and of whatever was rebuilt with them."""
    with _serving(settings) as connection:
        last = rebuilds.latest_swapped(connection, settings.rebuild_former_s)
        if last is None or not set(names) <= set(last.names):
            raise StackError(
                f"there is no former version of {', '.join(names) or 'anything'}: it is kept for "
                f"{settings.rebuild_former_s:g} s (READSIDE_REBUILD_FORMER_S), and of the last rebuild alone"
            )
        if behind := rebuilds.former_behind(connection):
            raise StackError(
                f"{behind}; it would serve rows of then. `readside rebuild` builds the declared version anew"
            )
        found = versions_compared(connection, _declared(settings), last.names, new=FORMER)
        show(found, output)
        if not _agreed(f"Let the former versions of {', '.join(last.names)} serve again?", yes):
            return 1
        rebuilds.wish(connection, last.id, "roll back")
        _see(connection, last.id, "rolled back")
    talk.print(f"{', '.join(last.names)}: the former versions serve again")
    return 0


def _planned(declarations: Declarations, names: Sequence[str]) -> list[ReadModel | Rollup]:
    """What is built, each after what it reads."""
    known = {one.name: one for one in declarations.maintained}
    if unknown := sorted(set(names) - known.keys()):
        raise StackError(f"there is no read model {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    all_names = declarations.readers_of({known[name].reference for name in names}) | set(names)
    return [one for one in declarations.maintained if one.name in all_names]


def _require_equal_replay(settings: Settings, planned: Sequence[ReadModel | Rollup]) -> None:
    declarations = _declared(settings)
    tables = frozenset[str]().union(*(declarations.tables_beneath(one) for one in planned))
    verdicts = compared_with_replay(settings, tables)
    if different := [verdict for verdict in verdicts if verdict.differences]:
        told = ", ".join(f"{verdict.model} ({verdict.differences} rows)" for verdict in different)
        raise StackError(
            f"the mirror is not what Kafka's log says: {told}. Nothing was built. `readside verify` says which of them the "
            "source agrees with; `--from snapshot` makes the mirror equal to the source"
        )
    rows = sum(verdict.rows for verdict in verdicts)
    talk.print(f"the mirror's {rows:,} rows of {len(verdicts)} tables are what Kafka's log says")


def _of_analytics(declarations: Declarations, names: Sequence[str]) -> list[str]:
    stores = {one.name: one.store for one in declarations.maintained}
    return [name for name in names if stores.get(name) == "analytics"]


def _show_plan(connection: Connection, planned: Sequence[ReadModel | Rollup], origin: Origin) -> None:
    rows = dict(
        connection.execute(
            """
            select schemaname || '.' || relname, n_live_tup
              from pg_stat_user_tables
             where schemaname in ('read_models', 'rollups')
            """
        ).fetchall()
    )
    talk.print(
        terminal.table(
            ("to build", "kind", "rows, about", "reads"),
            [
                (
                    one.name,
                    "read model" if isinstance(one, ReadModel) else "rollup",
                    rows.get(one.reference),
                    ", ".join(sorted(one.sources)),
                )
                for one in planned
            ],
        )
    )
    talk.print(f"{_ORIGINS[origin]} What serves now goes on serving, kept up, until the new versions take its place.")


_ORIGINS = {
    "mirror": "From the mirror of the source's tables, as it stands.",
    "kafka": "First Kafka's log is replayed beside it and the mirror compared with that; then from the mirror.",
    "snapshot": "First a fresh snapshot of the source is read and the mirror made equal to it; then from the mirror.",
}


def _ask(connection: Connection, names: Sequence[str]) -> Rebuild:
    try:
        rebuilds.ask(connection, names, swaps=False)
    except psycopg.errors.UniqueViolation:
        raise StackError("another rebuild has just begun; see `readside rebuild`") from None
    rebuild = rebuilds.under_way(connection)
    if rebuild is None:
        raise StackError("the rebuild ended at once; see projector-serving.log")
    return rebuild


def _see_built(connection: Connection, rebuild: int) -> Rebuild:
    """Show how it goes on until it is built."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(compact=True),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=talk) as progress:

        def note(found: Sequence[Progressing]) -> None:
            for each in found:
                task = tasks.get(each.name)
                if task is None:
                    task = tasks[each.name] = progress.add_task(each.name, total=None, note="")
                progress.update(task, total=each.total, completed=each.done, note=_note(each))

        return _see(connection, rebuild, "built", note)


def _note(each: Progressing) -> str:
    if each.state == "rows" and each.total:
        rate = f", {each.rate:,.0f}/s" if each.rate else ""
        return f"{each.done:,} of {each.total:,} rows{rate}"
    return {"keys": "listing keys", "indexes": "making indexes", "built": "built", "rows": ""}[each.state]


def _see(
    connection: Connection,
    rebuild: int,
    wanted: str,
    note: Callable[[Sequence[Progressing]], None] = lambda _found: None,
) -> Rebuild:
    """Wait until it is in that state. Raises StackError when it ends otherwise, or nobody takes it up."""
    began = time.monotonic()
    try:
        while True:
            now = rebuilds.by_id(connection, rebuild)
            note(rebuilds.progress(connection))
            if now.state == wanted or (wanted == "built" and now.state == "swapped"):
                return now
            if now.state in ("failed", "cancelled", "rolled back") or (now.state, wanted) == ("swapped", "cancelled"):
                raise StackError(f"the rebuild is {now.state}: {now.why or 'see projector-serving.log'}")
            waits = now.state == "asked" or now.wish is not None
            if waits and time.monotonic() - began > _TAKEN_UP_S:
                raise StackError(
                    f"the projector has not taken it up in {_TAKEN_UP_S:g} s; it will when it runs: see `readside status`"
                )
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        talk.print("The rebuild goes on without you; `readside rebuild` looks at it, --cancel ends it.")
        raise


def _agreed(question: str, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise StackError(f"{question} There is nobody to answer here; give --yes")
    return Confirm.ask(question, console=talk, default=False)


def _declared(settings: Settings) -> Declarations:
    try:
        return registry.load(settings.models)
    except ReadsideError as exc:
        raise StackError(str(exc)) from exc


@contextmanager
def _serving(settings: Settings) -> Generator[Connection]:
    with connected(settings, "readside rebuild") as connection:
        if connection.execute("select to_regclass('readside.rebuilds')").fetchone() == (None,):
            raise StackError("the serving store is empty: its projector never ran; see `readside status`")
        yield connection

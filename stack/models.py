"""``readside models``: the registered read models, what they are made of, and how fresh they are in their store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast

from rich.text import Text

from cdc.errors import ReadsideError
from config.settings import Settings
from projectors import registry
from projectors.declaration import DeclarationError, is_declared
from projectors.read_model import Declarations, ReadModel
from queries.pipeline import Health, Model
from stack import terminal
from stack.errors import StackError
from stack.status import look
from stack.terminal import Output, data, talk

_STORES = ("serving", "analytics")


def run(settings: Settings, *, output: Output | None) -> int:
    """Print them. Exit code 0 all are kept up, 1 some stand still or are not built yet, 2 a store does not answer."""
    try:
        declarations = registry.load(settings.models)
    except (ReadsideError, DeclarationError) as exc:
        raise StackError(str(exc)) from exc
    health = look(settings)
    rows = rows_of(declarations, health)
    if terminal.chosen(output) == "json":
        terminal.print_json(rows)
    elif rows:
        show(rows)
    else:
        talk.print("no read model is registered: READSIDE_MODELS is empty, so only the tables are mirrored")
    silent = _silent(declarations, health)
    for store, why in silent.items():
        talk.print(f"what the {store} store holds is not known: {why}", markup=False)
    return 2 if silent else 1 if any(row["rows"] is None or row["incomplete"] for row in rows) else 0


def rows_of(declarations: Declarations, health: Health) -> list[dict[str, Any]]:
    """Each registered model: what is declared, and beside it what its store tells; None where that is not known."""
    now = datetime.now(UTC)
    living = {(model.store, model.name): model for model in health.models}
    return [_row(declarations, model, living.get((model.store, model.name)), now) for model in declarations.read_models]


def _row(declarations: Declarations, model: ReadModel, living: Model | None, now: datetime) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": model.name,
        "store": model.store,
        "comment": model.comment,
        "tables": sorted(declarations.tables_beneath(model)),
        "through": sorted(name for name in model.reads if is_declared(name)),
        "key": list(model.key),
        "rows": living and living.rows,
        "version": living and living.version,
        "as_of": living and living.as_of,
        "freshness_seconds": living and _age_s(living.as_of, now),
        "incomplete": living and living.incomplete,
    }
    rebuild: object = getattr(living, "rebuild", None)
    return row if rebuild is None else row | {"rebuild": rebuild}


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print them, a table for each store."""
    for store in _STORES:
        here = [row for row in rows if row["store"] == store]
        if not here:
            continue
        columns = (f"{store} model", "key", "rows", "version", "fresh, s", "source tables", "")
        table = terminal.table(columns, [_cells(row) for row in here])
        table.columns[0].no_wrap = True
        for figure in table.columns[2:5]:
            figure.justify = "right"
        data.print(table)
        data.print()


def _cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    freshness = row["freshness_seconds"]
    return (
        row["name"],
        ", ".join(row["key"]),
        row["rows"],
        row["version"],
        None if freshness is None else f"{freshness:.1f}",
        ", ".join(row["tables"]),
        Text("; ".join(filter(None, (row["incomplete"], rebuilding(row.get("rebuild"))))), style="yellow"),
    )


def rebuilding(rebuild: object) -> str:
    """A rebuild in a few words: its state, how far it is, and how long it still takes; nothing where there is none."""
    if rebuild is None:
        return ""
    told = cast("Mapping[str, Any]", rebuild if isinstance(rebuild, Mapping) else asdict(cast("Any", rebuild)))
    done, total, eta_s = told.get("done"), told.get("total"), told.get("eta_seconds")
    share = f" {100 * done / total:.0f} %" if done is not None and total else ""
    return f"rebuild {told.get('state', '')}{share}" + (f", {eta_s:.0f} s left" if eta_s is not None else "")


def _age_s(as_of: str | None, now: datetime) -> float | None:
    if as_of is None:
        return None
    return round(max(0.0, (now - datetime.fromisoformat(as_of)).total_seconds()), 3)


def _silent(declarations: Declarations, health: Health) -> dict[str, str]:
    """The stores that should have told something and did not, each with why."""
    told = {model.store for model in health.models}
    wanted = {model.store for model in declarations.read_models}
    why = {hop.name: hop.why for hop in health.hops}
    return {store: why.get(store) or "see `readside status`" for store in _STORES if store in wanted - told}

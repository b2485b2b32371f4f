"""Where a row is stuck, in one sentence, from what each hop says of it. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cdc.lsn import lsn_text
from queries.pipeline import State
from stack.trace.log import Passage, Passages
from stack.trace.sought import Sought
from stack.trace.source import SourceRow
from stack.trace.stores import StoreRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """ok: it arrived everywhere; degraded: it is stuck, or nowhere to be found; down: a hop does not answer."""

    state: State
    sentence: str


def verdict(sought: Sought, source: SourceRow, passages: Passages, stores: Sequence[StoreRow]) -> Verdict:
    """The first thing that stands in the way, in the order of the data's way."""
    if said := _waiting(stores) or _parked(stores):
        return Verdict(state="degraded", sentence=said)
    if fault := source.fault or passages.fault or next((store.fault for store in stores if store.fault), ""):
        return Verdict(state="down", sentence=f"What can be seen of it ends here: {fault}; see `readside status`.")
    if said := _uncaptured(source, passages, stores):
        return Verdict(state="degraded", sentence=said)
    if said := _different(sought, source, stores):
        return Verdict(state="degraded", sentence=said)
    if not source.present and not passages.found:
        return Verdict(
            state="degraded",
            sentence="There is no such row: not in the source, not in Kafka as far as it was read, not in a store.",
        )
    kept = [store.store for store in stores if store.kept]
    if not kept:
        return Verdict(state="ok", sentence="No store keeps anything of its table, as no read model is made of it.")
    where = "both stores" if len(kept) > 1 else f"the {kept[0]} store"
    what = "it is as the source has it" if source.present else "it is gone, as it is from the source"
    return Verdict(state="ok", sentence=f"It is stuck nowhere: in {where} {what}.")


def _parked(stores: Sequence[StoreRow]) -> str:
    for store in stores:
        if store.letters:
            first = store.letters[0]["id"]
            return (
                f"It is stuck in the {store.store} store: {_counted(len(store.letters))} parked; "
                f"`readside dead-letters show {first}` says why, `readside dead-letters retry {first}` applies it."
            )
    return ""


def _waiting(stores: Sequence[StoreRow]) -> str:
    for store in stores:
        if store.fault or store.letters:
            continue
        if waiting := [place for place, fate in store.fates.items() if fate == "waiting"]:
            return (
                f"It is stuck between Kafka and the {store.store} store: {waiting[0]} is not applied, the store stands at "
                f"{lsn_text(store.end_lsn)}; see `readside status` and projector-{store.store}.log."
            )
    return ""


def _uncaptured(source: SourceRow, passages: Passages, stores: Sequence[StoreRow]) -> str:
    """A store that stands past the source's position holds the row, whatever Kafka still has of it."""
    newest = passages.found[-1] if passages.found else None
    behind = [store for store in stores if store.kept and not store.holds(source.lsn)]
    if not behind or _tells(newest, source):
        return ""
    written = f"what transaction {source.xmin} wrote" if source.present else "that the row is gone"
    return (
        f"It is stuck between the source and Kafka: {written} has not come there; the source stands at "
        f"{lsn_text(source.lsn)}, the {behind[0].store} store at {lsn_text(behind[0].end_lsn)}; "
        "see `readside status` and `readside doctor`."
    )


def _tells(newest: Passage | None, source: SourceRow) -> bool:
    """Whether the newest record in Kafka is what the source has now."""
    if not source.present:
        return newest is None or newest.change.op in ("d", "t")
    return newest is not None and newest.change.op != "d" and newest.change.xid in (None, source.xmin)


def _different(sought: Sought, source: SourceRow, stores: Sequence[StoreRow]) -> str:
    for store in stores:
        if not store.kept or not store.holds(source.lsn):
            continue
        if store.present != source.present:
            one, other = ("has", "has not") if store.present else ("has not", "has")
            return (
                f"The {store.store} store {one} the row and the source {other}, although it stands past it; {_VERIFY}"
            )
        if columns := differing(sought, source, store):
            listed = ", ".join(columns)
            return (
                f"The {store.store} store has other values in {listed}, although it stands past the source; {_VERIFY}"
            )
    return ""


def differing(sought: Sought, source: SourceRow, store: StoreRow) -> list[str]:
    """The columns in which a store's row is another one than the source's. Generated ones are not in the stream."""
    if store.row is None:
        return []
    generated = {column.name for column in sought.table.columns if column.generated is not None}
    both = source.row.keys() & store.row.keys() - generated
    return sorted(name for name in both if source.row[name] != store.row[name])


def _counted(changes: int) -> str:
    return "1 change of it is" if changes == 1 else f"{changes} changes of it are"


_VERIFY = "`readside verify` says how much differs."

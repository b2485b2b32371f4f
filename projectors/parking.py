"""Declared tables that cannot be kept up, because the source changed what they read: they stand still, by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from projectors.read_model import Declarations, ReadModel


def parked_with(declarations: Declarations, tables: Mapping[str, str]) -> dict[str, str]:
    """Why each declared table is parked that reads one of ``tables``: parked ones by their name in the mirror, and why."""
    parked = {h.name: f"{h.of}: {tables[h.of]}" for h in declarations.histories if h.of in tables}
    for declared in declarations.maintained:
        if reasons := [f"{name}: {tables[name]}" for name in sorted(declared.reads & tables.keys())]:
            parked[declared.name] = "; ".join(reasons)
    return parked | readers(declarations, parked)


def behind(declarations: Declarations, changes: Mapping[str, int]) -> dict[str, int]:
    """How many parked changes each declared table may be behind by: ``changes`` by their table's name in the mirror."""
    counts: dict[str, int] = {}
    for table, count in changes.items():
        for name in parked_with(declarations, {table: ""}):
            counts[name] = counts.get(name, 0) + count
    return counts


def readers(declarations: Declarations, parked: Collection[str]) -> dict[str, str]:
    """Why each of the others is parked: it reads one of ``parked``, or something that does."""
    standing = {f"history.{history.name}" for history in declarations.histories if history.name in parked}
    found: dict[str, str] = {}
    for declared in declarations.maintained:
        histories = declared.histories if isinstance(declared, ReadModel) else frozenset[str]()
        reads = declared.reads | {f"history.{name}" for name in histories}
        if declared.name not in parked and (still := reads & standing):
            found[declared.name] = f"{', '.join(sorted(still))} is parked"
        if declared.name in parked or declared.name in found:
            standing.add(declared.reference)
    return found


def waiting(names: Collection[str]) -> dict[str, str]:
    """Why each of these counts as parked although it is kept up: until the snapshot builds it, it is empty or behind.

    The doubt may go away before there is one, and nobody but this note would know then that it is still to be built.
    """
    return dict.fromkeys(names, "a table that it reads is in doubt: it is built with the snapshot that is to come")


def without(declarations: Declarations, names: Collection[str]) -> Declarations:
    """The others. ``names`` must hold whatever reads one of them."""
    return replace(
        declarations,
        read_models=tuple(model for model in declarations.read_models if model.name not in names),
        histories=tuple(history for history in declarations.histories if history.name not in names),
        rollups=tuple(rollup for rollup in declarations.rollups if rollup.name not in names),
    )

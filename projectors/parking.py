"""Declared tables that cannot be kept up, because the source changed what they read: they stand still, by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from projectors.read_model import Declarations


def parked_with(declarations: Declarations, tables: Mapping[str, str]) -> dict[str, str]:
    """Why each declared table is parked that reads one of ``tables``: parked ones by their name in the mirror, and why."""
    parked: dict[str, str] = {}
    for history in declarations.histories:
        if history.of in tables:
            parked[history.name] = f"{history.of}: {tables[history.of]}"
    for model in declarations.read_models:
        reasons = [f"{name}: {tables[name]}" for name in sorted(model.tables & tables.keys())]
        reasons += [f"history.{name} is parked" for name in sorted(model.histories & parked.keys())]
        if reasons:
            parked[model.name] = "; ".join(reasons)
    return parked


def without(declarations: Declarations, names: Collection[str]) -> Declarations:
    """The others."""
    return replace(
        declarations,
        read_models=tuple(model for model in declarations.read_models if model.name not in names),
        histories=tuple(history for history in declarations.histories if history.name not in names),
    )

"""What is derived from the mirror of the analytics store: brought to where a batch has brought that, or computed anew."""

from __future__ import annotations

import logging
from collections.abc import Collection
from functools import partial

from projectors.analytics.connection import Connection
from projectors.analytics.kept import Kept
from projectors.analytics.mirror import changed_rows
from projectors.analytics.rebuild import Recomputed, compared
from projectors.analytics.refresh import build_model, build_rollup, refresh_model, refresh_rollup
from projectors.rollup import Rollup

logger = logging.getLogger(__name__)


def with_changes(connection: Connection, kept: Kept) -> list[str]:
    """The tables of which a snapshot has changed rows, schema.table."""
    return [
        name
        for name, table in kept.tables.items()
        if connection.execute(f"select 1 from {changed_rows(table)} limit 1").fetchone() is not None
    ]


def refresh(connection: Connection, kept: Kept, touched: Collection[str]) -> None:
    """Bring everything that reads these tables to where they are."""
    changed = {kept.tables[name].mirror for name in touched}
    for declared in kept.maintained:
        sources = [kept.relations[name] for name in sorted(declared.sources & changed)]
        if not sources:
            continue
        into, captured = kept.relations[declared.reference], declared.reference in kept.captured
        if isinstance(declared, Rollup):
            moved = refresh_rollup(connection, declared, into, sources[0], captured=captured)
        else:
            noting = partial(kept.unpublished.noting, connection, declared)
            moved = refresh_model(connection, declared, into, sources, captured=captured, noting=noting)
        if moved:
            changed.add(declared.reference)


def build(
    connection: Connection, kept: Kept, names: Collection[str], *, compare: bool = False
) -> dict[str, Recomputed]:
    """Compute these declared tables from nothing; with ``compare``, what that changed in each."""
    found: dict[str, Recomputed] = {}
    for declared in kept.maintained:
        if declared.name not in names:
            continue
        logger.info("building a declared table", extra={"action": "model_build", "model": declared.name})
        into = kept.relations[declared.reference]
        if isinstance(declared, Rollup):
            work = partial(build_rollup, connection, declared, into, kept.relations[declared.of])
        else:
            work = partial(build_model, connection, declared, into, kept.relations)
            kept.unpublished.note_all(connection, declared.name)
        if compare:
            found[declared.name] = compared(connection, into, work)
        else:
            work()
    return found

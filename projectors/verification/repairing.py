"""What makes a store equal to its source again: a model is built anew from its mirror, a mirror is loaded from a snapshot.

A snapshot is loaded as the difference that it makes (docs/decisions/0009): what was lost upstream comes, what should have
gone goes, and read models follow. It reads every captured table, since a stream continues one snapshot of them all.
"""

from __future__ import annotations

from collections.abc import Collection

from psycopg.errors import UniqueViolation

from cdc.control import request_snapshot
from cdc.errors import Transient
from config.settings import Settings
from projectors import registry
from projectors.declaration import StoreName
from projectors.read_model import Declarations
from projectors.serving import rebuilds
from projectors.verification.results import Connection

REASON = "rows differ from the source's, as verify found"


def ask_snapshot(settings: Settings) -> None:
    """Ask the connector's supervision for a snapshot, which both stores load. Raises Transient."""
    request_snapshot(settings.kafka, settings.topic_prefix, REASON)


def is_rebuilt(store: StoreName) -> bool:
    """Whether a store's models can be built anew while it runs."""
    return store == "serving"


def ask_rebuild(settings: Settings, store: Connection, models: Collection[str]) -> int:
    """Have the serving projector build models anew from its mirror, with the rollups that they read, and put them in the
    place of those that are there; returns the rebuild's id. Raises Transient while another one is under way."""
    declarations = registry.load(settings.models).of_store("serving")
    try:
        return rebuilds.ask(store, {*models, *_rollups_beneath(declarations, models)}, swaps=True)
    except UniqueViolation as exc:
        raise Transient("another rebuild is under way; wait for it, then verify again") from exc


def _rollups_beneath(declarations: Declarations, models: Collection[str]) -> set[str]:
    """A model is right if what it is computed from is."""
    by_reference = {declared.reference: declared for declared in declarations.maintained}
    rollups = {rollup.name for rollup in declarations.rollups}
    found: set[str] = set()
    waiting = [declared for declared in declarations.maintained if declared.name in models]
    while waiting:
        for reference in waiting.pop().reads:
            below = by_reference.get(reference)
            if below is not None and below.name in rollups and below.name not in found:
                found.add(below.name)
                waiting.append(below)
    return found

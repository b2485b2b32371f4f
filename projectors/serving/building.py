"""Declared tables computed from nothing: all their rows at once, in a transaction of the store's."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

import psycopg
from psycopg.sql import SQL

from projectors.checkpoint import Checkpoint, lsn_text
from projectors.serving.kept import Kept
from projectors.serving.pushes import announce
from projectors.serving.statements import Statements

logger = logging.getLogger(__name__)


def build(
    connection: psycopg.Connection[Any],
    kept: Kept,
    statements: Statements,
    names: Collection[str],
    checkpoint: Checkpoint,
) -> None:
    """Compute these from the mirror as it stands at a checkpoint, each after what it reads."""
    for history in kept.declarations.histories:
        if history.name in names:
            connection.execute(statements.history_of_snapshot(history), moment(checkpoint))
    for declared in kept.declarations.maintained:
        if declared.name in names:
            logger.info("building a read model", extra={"action": "model_build", "model": declared.name})
            stored = statements.relations[declared.reference].stored
            connection.execute(SQL("delete from {}").format(stored))
            connection.execute(statements.build(declared))
    announce(connection, names)


def moment(checkpoint: Checkpoint) -> dict[str, Any]:
    """The parameters of a statement that tells histories of a snapshot."""
    return {"end_lsn": lsn_text(checkpoint.end_lsn), "at": checkpoint.committed_at}

"""Declared tables computed from nothing: all their rows at once, in a transaction of the store's."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from projectors.checkpoint import Checkpoint, lsn_text
from projectors.rollup import Rollup
from projectors.serving.columns import declared_columns, measures_of
from projectors.serving.kept import Kept
from projectors.serving.pushes import announce
from projectors.serving.refresh import create_index
from projectors.serving.relation import Relation
from projectors.serving.rollup import build_rollup_statement
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


def count_next(connection: psycopg.Connection[Any], rollup: Rollup, source: Relation) -> None:
    """Count a next version's rollup, whose table is there, over all that there is of its source; and make its indexes.

    At once: what a batch adds to a group that is not counted yet could not be told from what is.
    """
    measures = measures_of(rollup, declared_columns(connection)[rollup.reference])
    connection.execute(build_rollup_statement(rollup, measures, source))
    for index in rollup.indexes:
        connection.execute(create_index(Identifier("rollups", rollup.name), index))


def moment(checkpoint: Checkpoint) -> dict[str, Any]:
    """The parameters of a statement that tells histories of a snapshot."""
    return {"end_lsn": lsn_text(checkpoint.end_lsn), "at": checkpoint.committed_at}

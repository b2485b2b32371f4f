"""What a store must be after a scripted pipeline's history, as assertions; and ways to deliver and read one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from cdc.catalog import Table
from projectors import registry
from projectors.read_model import Declarations
from projectors.serving.statements import Statements

Connection = psycopg.Connection[Any]


def random_choice(chance: random.Random) -> Any:
    """Any partition, a few records of it."""
    return lambda unread: (chance.choice(unread), chance.randint(1, 6))


def deliver(pipeline: Any, chance: random.Random) -> None:
    """Send what was committed: once, or with what a connector repeats when it starts again at its slot."""
    for transaction in pipeline.source.flush():
        if chance.random() < 0.3:  # the connector died inside this transaction, and begins some transactions earlier
            pipeline.log.send(transaction, rows=chance.randint(0, len(transaction.rows)))
            repeated = pipeline.log.transactions[-1 - chance.randint(0, 3) :]
            known = pipeline.log.transactions.index(transaction)
            for number, again in enumerate(t for t in repeated if pipeline.log.transactions.index(t) <= known):
                pipeline.log.send(again, fresh_start=number == 0)
            if transaction not in repeated:
                pipeline.log.send(transaction)
        else:
            pipeline.log.send(transaction)


def assert_mirror_equals_source(pipeline: Any, store_dsn: str) -> None:
    """Row by row."""
    with psycopg.connect(store_dsn) as store:
        for table in pipeline.tables:
            mirrored = rows_of(store, Identifier("mirror", table.mirror))
            assert mirrored == rows_of(pipeline.source.connection, Identifier(table.schema, table.name)), (
                table.qualified
            )


def assert_models_equal_a_build(pipeline: Any, store_dsn: str) -> None:
    """What was kept up change by change is what the whole mirror gives."""
    with psycopg.connect(store_dsn) as store:
        assert_built(store, pipeline.tables, registry.load(pipeline.models).of_store("serving"))


def assert_built(store: Connection, tables: Sequence[Table], declarations: Declarations) -> None:
    """The same, on a connection to the store; it is left as it was."""
    with store.transaction(force_rollback=True):
        statements = Statements(store, tables, declarations)
        relations = {one.reference: Identifier(*one.reference.split(".")) for one in declarations.maintained}
        kept = {name: rows_of(store, relation) for name, relation in relations.items()}
        for relation in relations.values():
            store.execute(SQL("delete from {}").format(relation))
        for declared in declarations.maintained:
            store.execute(statements.build(declared))
        for name, relation in relations.items():
            assert kept[name] == rows_of(store, relation), f"{name} is not what its sources give"


def rows_of(store: Connection, relation: Identifier) -> list[tuple[str]]:
    """Every row as text, in one order."""
    return store.execute(SQL("select t::text from {} t order by 1").format(relation)).fetchall()

"""What tests of single declarations share with the laws: deliveries as a connector makes them, and what must hold then."""

from __future__ import annotations

import random
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from projectors import registry
from projectors.serving.statements import Statements


def random_choice(chance: random.Random) -> Any:
    return lambda unread: (chance.choice(unread), chance.randint(1, 6))


def deliver(pipeline, chance) -> None:
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


def assert_mirror_equals_source(pipeline, store_dsn: str) -> None:
    with psycopg.connect(store_dsn) as store:
        for table in pipeline.tables:
            everything = SQL("select t::text from {} t order by 1")
            mirrored = store.execute(everything.format(Identifier("mirror", table.name))).fetchall()
            source = pipeline.sql(everything.format(Identifier(table.schema, table.name))).fetchall()
            assert mirrored == source, table.qualified


def assert_models_equal_a_build(pipeline, store_dsn: str) -> None:
    declarations = registry.load(pipeline.models).of_store("serving")
    with psycopg.connect(store_dsn) as store:
        statements = Statements(store, pipeline.tables, declarations)
        tables = {one.reference: Identifier(*one.reference.split(".")) for one in declarations.maintained}
        kept = {name: rows_of(store, table) for name, table in tables.items()}
        for table in tables.values():
            store.execute(SQL("delete from {}").format(table))
        for declared in declarations.maintained:
            store.execute(statements.build(declared))
        for name, table in tables.items():
            assert kept[name] == rows_of(store, table), name
        store.rollback()


def rows_of(store, table) -> list[tuple[str]]:
    return store.execute(SQL("select t::text from {} t order by 1").format(table)).fetchall()

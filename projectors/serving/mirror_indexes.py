"""Indexes on the mirror that read models ask for: they come and go with the declarations."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

import psycopg
from psycopg.sql import SQL, Identifier

from cdc.errors import Fatal
from projectors.declaration import base_of, fingerprint
from projectors.read_model import Declarations, ReadModel
from projectors.serving.refresh import index_of

Connection = psycopg.Connection[Any]


def prepare_mirror_indexes(
    connection: Connection, declarations: Declarations, old: Collection[str] = frozenset()
) -> None:
    """Make the indexes on the mirror that read models ask for, and drop those that none asks for any more.

    ``old``: models of which the code declares another version by now; an index that cannot be made for one is left out.
    """
    there = mirror_indexes(connection)
    for name in there - {name for name, *_ in _wanted_indexes(declarations.read_models)}:
        connection.execute(SQL("drop index {}").format(Identifier("mirror", name)))
    make_mirror_indexes(connection, declarations.read_models, there, old)


def _wanted_indexes(models: Iterable[ReadModel]) -> list[tuple[str, str, str, LiteralString]]:
    """Name, who asks for it, table, and what stands after ON t."""
    return [
        (f"declared_{fingerprint((table, index))}", model.name, table, index)
        for model in models
        for table in model.mirror_indexes
        for index in model.mirror_indexes[table]
    ]


def mirror_indexes(connection: Connection) -> set[str]:
    """The names of those that there are."""
    rows = connection.execute(
        r"select indexname from pg_indexes where schemaname = 'mirror' and indexname like 'declared\_%'"
    ).fetchall()
    return {name for (name,) in rows}


def make_mirror_indexes(
    connection: Connection, models: Iterable[ReadModel], there: Collection[str], old: Collection[str]
) -> None:
    """Make what these models ask for and is not there."""
    made = set(there)
    for name, model, table, index in _wanted_indexes(models):
        if name in made:
            continue
        made.add(name)
        create = SQL("create index {} on {} {}").format(
            Identifier(name), Identifier("mirror", table), SQL(index_of(index))
        )
        with (
            suppress(psycopg.ProgrammingError)
            if model in old
            else blamed(f"{base_of(model)} asks for an index on mirror.{table}"),
            connection.transaction(),
        ):
            connection.execute(create)


@contextmanager
def blamed(name: str) -> Generator[None]:
    """Raises Fatal for what the database says of a declaration: what is to blame, and what is wrong."""
    try:
        yield
    except (psycopg.ProgrammingError, psycopg.NotSupportedError) as exc:  # the latter: an extension that is not there
        raise Fatal(f"{name}: {exc.diag.message_primary} ({exc.sqlstate}); correct the declaration") from exc

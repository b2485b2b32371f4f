"""Indexes on the mirror that read models ask for: they come and go with the declarations."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from cdc.errors import Fatal
from projectors.declaration import base_of, fingerprint
from projectors.read_model import Declarations, ReadModel
from projectors.serving.refresh import index_of
from projectors.versions import Versions

Connection = psycopg.Connection[Any]


def prepare_mirror_indexes(connection: Connection, declarations: Declarations, versions: Versions) -> None:
    """Make the indexes on the mirror that read models ask for, and drop those that none asks for any more.

    ``declarations``: what of these versions is kept up; an index that cannot be made for an old one is left out. Those that
    a coming one asks for are made beside the projector (mirror_index_statements), and stay.
    """
    coming = [one.declaration for one in versions.renewed.values() if isinstance(one.declaration, ReadModel)]
    asked_for = {name for name, *_ in _wanted_indexes((*declarations.read_models, *coming))}
    for name in _mirror_indexes(connection).keys() - asked_for:
        connection.execute(_dropping(name))
    for name, model, table, index in _missing(connection, declarations.read_models):
        with (
            suppress(psycopg.ProgrammingError)
            if model in versions.old
            else blamed(f"{base_of(model)} asks for an index on mirror.{table}"),
            connection.transaction(),
        ):
            connection.execute(_dropping(name))
            connection.execute(_creating(name, table, index))


def mirror_index_statements(connection: Connection, model: ReadModel) -> list[Composed]:
    """What makes the indexes that this one asks for and are not there, while the mirror is written to."""
    return [
        statement
        for name, _, table, index in _missing(connection, [model])
        for statement in (_dropping(name, "concurrently"), _creating(name, table, index, "concurrently"))
    ]


def _wanted_indexes(models: Iterable[ReadModel]) -> list[tuple[str, str, str, LiteralString]]:
    """Name, who asks for it, table, and what stands after ON t."""
    return [
        (f"declared_{fingerprint((table, index))}", model.name, table, index)
        for model in models
        for table in model.mirror_indexes
        for index in model.mirror_indexes[table]
    ]


def _missing(connection: Connection, models: Iterable[ReadModel]) -> list[tuple[str, str, str, LiteralString]]:
    there = {name for name, valid in _mirror_indexes(connection).items() if valid}
    missing: dict[str, tuple[str, str, str, LiteralString]] = {}
    for wanted in _wanted_indexes(models):
        if wanted[0] not in there:
            missing.setdefault(wanted[0], wanted)
    return list(missing.values())


def _mirror_indexes(connection: Connection) -> dict[str, bool]:
    """The names of those that there are; False for one whose making was broken off."""
    return dict(
        connection.execute(
            r"""
            select c.relname::text, i.indisvalid
              from pg_index i
              join pg_class c on c.oid = i.indexrelid
             where c.relnamespace = 'mirror'::regnamespace and c.relname like 'declared\_%'
            """
        ).fetchall()
    )


def _dropping(name: str, how: LiteralString = "") -> Composed:
    return SQL("drop index {} if exists {}").format(SQL(how), Identifier("mirror", name))


def _creating(name: str, table: str, index: LiteralString, how: LiteralString = "") -> Composed:
    return SQL("create index {} {} on {} {}").format(
        SQL(how), Identifier(name), Identifier("mirror", table), SQL(index_of(index))
    )


@contextmanager
def blamed(name: str) -> Generator[None]:
    """Raises Fatal for what the database says of a declaration: what is to blame, and what is wrong."""
    try:
        yield
    except (psycopg.ProgrammingError, psycopg.NotSupportedError) as exc:  # the latter: an extension that is not there
        raise Fatal(f"{name}: {exc.diag.message_primary} ({exc.sqlstate}); correct the declaration") from exc

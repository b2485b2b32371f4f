"""Which declared tables of the serving store are parked: noted in readside.declared, where whoever reads them sees it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import psycopg

from projectors.parking import readers, waiting
from projectors.read_model import Declarations
from projectors.serving.statements import Statements

Connection = psycopg.Connection[Any]

_POSITION = {"end_lsn": "0/0", "at": None}
_PREPARED = b"readside_computed"


def failing(
    connection: Connection, statements: Statements, declarations: Declarations, known: Collection[str]
) -> dict[str, str]:
    """Why each of the declared tables ``known`` can no longer be computed, and those that read it."""
    asked = {one.name: statements.build(one) for one in declarations.maintained if one.name in known}
    bound = psycopg.ClientCursor(connection)
    for history in declarations.histories:
        if history.name in known:
            asked[history.name] = bound.mogrify(statements.history_of_snapshot(history), _POSITION).encode()
    if _why(connection, asked.values()) is None:
        return {}  # as nearly always: one round trip
    why = {name: _why(connection, [statement]) for name, statement in asked.items()}
    broken = {name: reason for name, reason in why.items() if reason is not None}
    return broken | readers(declarations, broken)


def _why(connection: Connection, statements: Iterable[bytes]) -> str | None:
    """What the server says of the first that it cannot compute. It resolves names and types, and plans nothing."""
    prepared = (b"prepare %s as %s; deallocate %s" % (_PREPARED, statement, _PREPARED) for statement in statements)
    try:
        with connection.transaction():
            connection.execute(b"; ".join(prepared))
    except psycopg.ProgrammingError as exc:
        return exc.diag.message_primary or type(exc).__name__
    return None


def note_parked(
    connection: Connection, parked: Mapping[str, str], *, made: Collection[str], doubted: Collection[str]
) -> frozenset[str]:
    """Note these, and what cannot be built yet; returns the names of those that were noted and are not any more: they have
    fallen behind.

    ``made``: what is new and empty; ``doubted``: what reads a table in doubt, of which a snapshot is to come.
    """
    rows = connection.execute("select name from readside.declared where parked is not null").fetchall()
    before = frozenset(name for (name,) in rows)
    noted = {**waiting(before.union(made) & frozenset(doubted)), **parked}
    for name in before - noted.keys():
        connection.execute("update readside.declared set parked = null where name = %(name)s", {"name": name})
    for name, why in noted.items():
        connection.execute(
            "update readside.declared set parked = %(why)s where name = %(name)s", {"name": name, "why": why}
        )
    return before - noted.keys()

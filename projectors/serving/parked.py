"""Which declared tables of the serving store are parked: noted in readside.declared, where whoever reads them sees it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import psycopg

from projectors.parking import readers
from projectors.read_model import Declarations
from projectors.serving.statements import Statements

Connection = psycopg.Connection[Any]

_POSITION = {"end_lsn": "0/0", "at": None}


def failing(
    connection: Connection, statements: Statements, declarations: Declarations, known: Collection[str]
) -> dict[str, str]:
    """Why each of the declared tables ``known`` can no longer be computed, and those that read it."""
    made = [(declared.name, statements.build(declared), None) for declared in declarations.maintained]
    made += [(history.name, statements.history_of_snapshot(history), _POSITION) for history in declarations.histories]
    asked = [(name, b"explain " + statement, parameters) for name, statement, parameters in made if name in known]
    if _why(connection, [(statement, parameters) for _, statement, parameters in asked]) is None:
        return {}  # as nearly always: a savepoint for each of them would take three times as long
    why = {name: _why(connection, [(statement, parameters)]) for name, statement, parameters in asked}
    broken = {name: reason for name, reason in why.items() if reason is not None}
    return broken | readers(declarations, broken)


def _why(connection: Connection, statements: Iterable[tuple[bytes, Mapping[str, Any] | None]]) -> str | None:
    try:
        with connection.transaction():
            for statement, parameters in statements:
                connection.execute(statement, parameters)
    except psycopg.ProgrammingError as exc:
        return exc.diag.message_primary or type(exc).__name__
    return None


def note_parked(connection: Connection, parked: Mapping[str, str]) -> frozenset[str]:
    """Note exactly these; returns the names of those that were parked and are not any more: they have fallen behind."""
    rows = connection.execute("select name from readside.declared where parked is not null").fetchall()
    before = frozenset(name for (name,) in rows)
    for name in before - parked.keys():
        connection.execute("update readside.declared set parked = null where name = %(name)s", {"name": name})
    for name, why in parked.items():
        connection.execute(
            "update readside.declared set parked = %(why)s where name = %(name)s", {"name": name, "why": why}
        )
    return before - parked.keys()

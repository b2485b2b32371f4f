"""Which declared tables of the serving store are parked: noted in readside.declared, where whoever reads them sees it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
    broken: dict[str, str] = {}
    for name, statement, parameters in made:
        if name in known:
            try:
                with connection.transaction():
                    connection.execute(b"explain " + statement, parameters)
            except psycopg.ProgrammingError as exc:
                broken[name] = exc.diag.message_primary or type(exc).__name__
    return broken | readers(declarations, broken)


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

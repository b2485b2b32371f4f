"""The moment at which next versions take the place of those that serve, or give it back: names change, no row moves.

Inside a transaction of the store's. Whoever reads sees either all the old tables or all the new ones.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from projectors.declaration import FORMER, NEXT
from projectors.serving import rebuilds
from projectors.serving.pushes import announce
from projectors.serving.rebuilds import Rebuild
from projectors.serving.schema import forget

Connection = psycopg.Connection[Any]

_SCHEMAS = {"read_model": "read_models", "rollup": "rollups"}


def swap(connection: Connection, rebuild: Rebuild, readers: Collection[str]) -> None:
    """Let the next versions serve. Raises LockNotAvailable when readers are in the way for long.

    ``readers``: what reads them, or did, and was not built anew with them: it is computed anew when it is next taken up.
    """
    _hurry(connection)
    forget_former(connection)
    kinds = _kinds(connection)
    for name in rebuild.names:
        if name in kinds:
            _rename(connection, kinds[name], name, f"{name}{FORMER}")
        _rename(connection, kinds[f"{name}{NEXT}"], f"{name}{NEXT}", name)
        connection.execute(
            """
            update readside.declared d
               set version = f.version + 1
              from readside.declared f
             where d.name = %(name)s and f.name = %(former)s
            """,
            {"name": name, "former": f"{name}{FORMER}"},
        )
    rebuilds.forget_candidates(connection)
    rebuilds.move(connection, rebuild.id, "swapped")
    _fall_behind(connection, readers)
    announce(connection, rebuild.names)


def roll_back(connection: Connection, rebuild: Rebuild, readers: Collection[str], *, wanted: bool) -> None:
    """Let the former versions serve again, or, unless that is ``wanted``, forget them. ``readers``: see swap."""
    _hurry(connection)
    if not wanted:
        forget_former(connection)
        connection.execute("update readside.rebuilds set wish = null where id = %(id)s", {"id": rebuild.id})
        return
    kinds = _kinds(connection)
    for name in rebuild.names:
        if name in kinds:  # it is declared still
            forget(connection, name, kinds[name])
        if f"{name}{FORMER}" in kinds:
            _rename(connection, kinds[f"{name}{FORMER}"], f"{name}{FORMER}", name)
    rebuilds.move(connection, rebuild.id, "rolled back")
    _fall_behind(connection, readers)
    announce(connection, rebuild.names)


def _fall_behind(connection: Connection, readers: Collection[str]) -> None:
    connection.execute(
        "update readside.declared set parked = 'what it reads was replaced' where name = any(%(names)s) and parked is null",
        {"names": list(readers)},
    )


def _hurry(connection: Connection) -> None:
    # A reader that comes while this waits for one before it has to wait too.
    connection.execute("set local lock_timeout = '250ms'")


def forget_former(connection: Connection) -> None:
    """Drop the former versions."""
    for name, kind in _kinds(connection).items():
        if name.endswith(FORMER):
            forget(connection, name, kind)


def _kinds(connection: Connection) -> dict[str, str]:
    return dict(connection.execute("select name, kind from readside.declared where kind <> 'history'").fetchall())


def _rename(connection: Connection, kind: str, name: str, to: str) -> None:
    connection.execute(SQL("alter table {} rename to {}").format(Identifier(_SCHEMAS[kind], name), Identifier(to)))
    connection.execute("update readside.declared set name = %(to)s where name = %(name)s", {"name": name, "to": to})

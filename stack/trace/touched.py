"""Which rows of the read models a row of a source table touches, by the declarations' own words on the mirror.

As the engine does for a change of the row as it stands: the keys that ``affected_by`` selects, and through rollups and read
models those of what is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import psycopg
from psycopg.sql import SQL, Composable, Composed, Identifier, Placeholder

from cdc.errors import ReadsideError
from config.settings import Settings
from projectors import registry
from projectors.declaration import DeclarationError, StoreName
from projectors.read_model import Declarations, ReadModel
from projectors.rollup import Rollup
from stack.trace.sought import Sought
from stack.trace.source import parameters, same_key, session

SHOWN = 10  # keys of a model
_HTTP_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """Rows of one read model. ``fault`` is why they could not be found."""

    model: str
    store: StoreName
    key: tuple[str, ...]
    count: int = 0
    first: tuple[tuple[Any, ...], ...] = ()
    fault: str = ""


class _Ask(Protocol):
    """Gives the count of all rows and the first of them, each row (count, key…)."""

    def __call__(self, keys: Composable) -> list[list[Any]]: ...


def look(settings: Settings, sought: Sought) -> tuple[Touched, ...]:
    """The rows in both stores, model by model; a store that does not answer is left out: its own look says so."""
    try:
        declarations = registry.load(settings.models)
    except (ReadsideError, DeclarationError):
        return ()
    return (*_serving(settings, declarations, sought), *_analytics(settings, declarations, sought))


def _serving(settings: Settings, declarations: Declarations, sought: Sought) -> tuple[Touched, ...]:
    if settings.queries_dsn is None:
        return ()
    given = parameters(sought)
    with suppress(psycopg.OperationalError), session(settings.queries_dsn.get_secret_value()) as connection:

        def ask(keys: Composable) -> list[list[Any]]:
            with connection.transaction():  # of its own, so that one that fails ends no other
                return [list(row) for row in connection.execute(_counted(keys), given)]

        row = SQL("select * from {} t where {}").format(Identifier("mirror", sought.table.mirror), same_key(sought))
        return _through(declarations.of_store("serving"), sought, row, ask)
    return ()


def _analytics(settings: Settings, declarations: Declarations, sought: Sought) -> tuple[Touched, ...]:
    given = parameters(sought)
    with (
        suppress(httpx.TransportError),
        httpx.Client(base_url=f"http://{settings.analytics_address}", timeout=_HTTP_S, trust_env=False) as client,
    ):

        def ask(keys: Composable) -> list[list[Any]]:
            asked = {"sql": _counted(keys).as_string(), "parameters": given}
            return client.post("/sql", json=asked).raise_for_status().json()["rows"]

        same = SQL(" and ").join(
            SQL("{} = {}").format(Identifier(name), SQL(f"$key{place}"))  # pyright: ignore[reportArgumentType]  # a number
            for place, name in enumerate(sought.key)
        )
        row = SQL("select * from {} where {}").format(Identifier("mirror", sought.table.mirror), same)
        return _through(declarations.of_store("analytics"), sought, row, ask)
    return ()


def _counted(keys: Composable) -> Composed:
    return SQL("select count(*) over (), * from ({}) k limit {}").format(keys, SHOWN)


def _through(declarations: Declarations, sought: Sought, row: Composed, ask: _Ask) -> tuple[Touched, ...]:
    changed: dict[str, Composed] = {sought.table.mirror: row}
    touched: list[Touched] = []
    for declared in declarations.maintained:
        if not declared.sources & changed.keys():
            continue
        keys = _group_of(declared, changed) if isinstance(declared, Rollup) else _keys_of(declared, changed)
        if isinstance(declared, ReadModel):
            touched.append(_touched(declared, keys, ask))
        changed[declared.reference] = _rows(declared, keys)
    return tuple(touched)


def _group_of(rollup: Rollup, changed: Mapping[str, Composed]) -> Composed:
    return SQL("select distinct {} from (with changed as ({}) select * from ({}\n) q) g").format(
        _list(rollup.key), changed[rollup.of], _text(rollup.query, changed[rollup.of])
    )


def _keys_of(model: ReadModel, changed: Mapping[str, Composed]) -> Composed:
    parts = [
        SQL("select * from (with changed as ({}) select * from ({}\n) k) keys").format(
            changed[name], _text(query, changed[name])
        )
        for name, query in model.affected_by.items()
        if name in changed
    ]
    return SQL("select distinct * from ({}) as keys({})").format(SQL("\n union all \n").join(parts), _list(model.key))


def _rows(declared: ReadModel | Rollup, keys: Composed) -> Composed:
    schema, _, name = declared.reference.partition(".")
    # DuckDB's read models lie in its main schema.
    stored = Identifier(name) if declared.store == "analytics" and schema == "read_models" else Identifier(schema, name)
    return SQL("select m.* from {} m where ({}) in ({})").format(
        stored, SQL(", ").join(Identifier("m", each) for each in declared.key), keys
    )


def _text(query: Any, beneath: Composed) -> SQL:
    """An author's SQL, its per cent signs doubled for psycopg where parameters go with it."""
    takes_parameters = any(isinstance(part, Placeholder) for part in _parts(beneath))
    return SQL(query.replace("%", "%%") if takes_parameters else query)


def _parts(composed: Composable) -> list[Composable]:
    if not isinstance(composed, Composed):
        return [composed]
    return [part for each in composed for part in _parts(each)]


def _touched(model: ReadModel, keys: Composed, ask: _Ask) -> Touched:
    try:
        found = ask(keys)
    except (psycopg.Error, httpx.HTTPStatusError) as exc:
        return Touched(model=model.name, store=model.store, key=model.key, fault=type(exc).__name__)
    return Touched(
        model=model.name,
        store=model.store,
        key=model.key,
        count=found[0][0] if found else 0,
        first=tuple(tuple(row[1:]) for row in found),
    )


def _list(names: tuple[str, ...]) -> Composed:
    return SQL(", ").join(map(Identifier, names))

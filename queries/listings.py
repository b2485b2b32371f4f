"""The generic list route: one page of a read model, by keyset, its documents passed through as stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from fastapi import Response
from psycopg import sql
from pydantic import BaseModel, Field

from queries import cursors
from queries.problems import Problem
from queries.store import Store, statement_over
from queries.tokens import Demand


class Page(BaseModel):
    """The query parameters of every list; a route's filters are further fields of a subclass."""

    limit: int = Field(20, ge=1, le=100, description="Most items of the page.")
    cursor: str | None = Field(None, max_length=500, description="`next_cursor` of the page before.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A read model as a list: newest, largest or last first, ties by id in the same direction."""

    model: str
    #: Column that sorts; never null. With ``id`` it makes the key of a page's end.
    sort: str
    #: PostgreSQL type of ``sort``, whose text form goes into cursors.
    type: LiteralString


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A condition on the rows, over the parameter ``%(<name>)s``, in force unless the value is None."""

    name: str
    condition: LiteralString
    value: str | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The resource a list belongs to; without it the answer is ``not-found``, not an empty list."""

    model: str
    key: int | None


def listing(
    store: Store, what: Listing, page: Page, demand: Demand, filters: Sequence[Filter], owner: Owner | None = None
) -> Response:
    """Answer with one page, ``{items, next_cursor}``. Pages neither repeat nor miss a row that stays where it is."""
    active = [chosen for chosen in filters if chosen.value is not None]
    parameters: dict[str, object] = {chosen.name: chosen.value for chosen in active}
    scope = json.dumps([what.model, parameters], sort_keys=True)
    conditions: list[sql.Composable] = [sql.SQL(chosen.condition) for chosen in active]
    if page.cursor is not None:
        parameters["after"], parameters["after_id"] = cursors.decode(scope, page.cursor)
        conditions.append(_after(what))
    parameters |= {"rows": page.limit + 1, "owner": owner.key if owner else None}
    statement = statement_over(_rows(what, conditions, owner), what.model, "q.sort desc nulls last, q.id desc")
    try:
        snapshot = store.read(statement, parameters, demand)
    except psycopg.DataError as error:  # only a cursor made by hand gets here: all else is bound with its own type
        raise Problem("malformed-cursor", "The cursor is not one this list gave out.") from error
    if not snapshot.rows[0][0]:
        assert owner is not None
        raise Problem("not-found", f"{owner.model} has nothing with this id.", headers=snapshot.headers)
    found = [row[1:] for row in snapshot.rows if row[1] is not None]
    shown = found[: page.limit]
    next_cursor = cursors.encode(scope, (shown[-1][1], shown[-1][0])) if len(found) > page.limit else None
    body = f'{{"items": [{", ".join(row[3] for row in shown)}], "next_cursor": {json.dumps(next_cursor)}}}'
    return Response(body.encode(), media_type="application/json", headers=snapshot.headers)


def _after(what: Listing) -> sql.Composed:
    return sql.SQL("(m.{sort}, m.id) < (%(after)s::{type}, %(after_id)s::bigint)").format(
        sort=sql.Identifier(what.sort), type=sql.SQL(what.type)
    )


def _rows(what: Listing, conditions: Sequence[sql.Composable], owner: Owner | None) -> sql.Composed:
    """One more row than the page shows, so that its end is known; and whether the owner is there, rows or none."""
    known = sql.SQL("true")
    if owner is not None:
        known = sql.SQL("exists (select 1 from {owner} o where o.id = %(owner)s::bigint)").format(
            owner=sql.Identifier("read_models", owner.model)
        )
    return sql.SQL(
        """
        select k.known, p.id, p.sort::text as sort_text, p.sort, p.document::text as document
          from (select {known} as known) k
          left join (
                select m.id, m.{sort} as sort, m.document
                  from {model} m
                 where {conditions}
                 order by m.{sort} desc, m.id desc
                 limit %(rows)s
               ) p on k.known
        """
    ).format(
        known=known,
        sort=sql.Identifier(what.sort),
        model=sql.Identifier("read_models", what.model),
        conditions=sql.SQL(" and ").join(conditions) if conditions else sql.SQL("true"),
    )

"""The generic list route: one page of a read model, by keyset, its documents passed through as stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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

_FEW = 10_000  # rows that are fetched by their ids and sorted in some 20 ms


class Page(BaseModel):
    """The query parameters of every list; a route's filters are further fields of a subclass."""

    limit: int = Field(20, ge=1, le=100, description="Most items of the page.")
    cursor: str | None = Field(None, max_length=500, description="`next_cursor` of the page before.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A read model as a list in the order of one column, ties by id in the same direction."""

    model: str
    #: Column that sorts; never null. With ``id`` it makes the key of a page's end.
    sort: str
    #: PostgreSQL type of ``sort``, whose text form goes into cursors.
    type: LiteralString
    #: Newest, largest or last first.
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on the rows ``m`` over the parameters ``values``, in force unless one of them is None."""

    condition: LiteralString | sql.Composable
    values: Mapping[str, str | int | None]

    @property
    def active(self) -> bool:
        """Whether it is in force."""
        return None not in self.values.values()

    @property
    def composed(self) -> sql.Composable:
        """The condition as SQL."""
        return self.condition if isinstance(self.condition, sql.Composable) else sql.SQL(self.condition)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """Groups of rows that a list is merged from: as much as a page shows is read of each, by the index of its group.

    What a list costs then depends on how many groups there are, not on how many rows lie between theirs.
    """

    column: str  #: the column that tells the groups apart, indexed together with the sort
    groups: LiteralString  #: SQL that selects its values, over the parameters ``values``
    values: Mapping[str, str | int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Rows that an index of their own finds, in no order, such as those with some words: conditions on a row ``m``.

    The planner cannot know how many there are. Few are fetched by their ids and sorted; of many, the first come soon
    enough when the list is read in its order.
    """

    exact: sql.Composable
    #: In force when no row of the whole read model, whatever the other filters, is an exact one.
    near: sql.Composable | None = None
    values: Mapping[str, str | int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The resource a list belongs to; without it the answer is ``not-found``, not an empty list."""

    model: str
    key: int | None


def listing(
    store: Store,
    what: Listing,
    page: Page,
    demand: Demand,
    filters: Sequence[Filter] = (),
    owner: Owner | None = None,
    gathering: Gathering | None = None,
    candidates: Candidates | None = None,
) -> Response:
    """Answer with one page, ``{items, next_cursor}``. Pages neither repeat nor miss a row that stays where it is."""
    active = [chosen for chosen in filters if chosen.active]
    parameters: dict[str, object] = {name: value for chosen in active for name, value in chosen.values.items()}
    key = owner.key if owner else None
    searched = dict(candidates.values) if candidates else {}
    scope = json.dumps([what.model, what.sort, gathering is not None, key, parameters | searched], sort_keys=True)
    conditions = [chosen.composed for chosen in active]
    if page.cursor is not None:
        parameters["after"], parameters["after_id"] = cursors.decode(scope, page.cursor)
        conditions.append(_after(what))
    parameters |= {"rows": page.limit + 1, "owner": key, "most": _FEW, **searched}
    rows = _page(what, conditions)
    if gathering is not None:
        parameters |= gathering.values
        rows = _gathered(what, conditions, gathering)
    if candidates is not None:
        rows = _among(what, conditions, candidates)
    statement = statement_over(_owned(rows, owner), what.model, _order(what, "q"))
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
    return sql.SQL("(m.{sort}, m.id) {beyond} (%(after)s::{type}, %(after_id)s::bigint)").format(
        sort=sql.Identifier(what.sort), beyond=sql.SQL("<" if what.descending else ">"), type=sql.SQL(what.type)
    )


def _order(what: Listing, rows: LiteralString, sort: str = "sort") -> sql.Composed:
    """The list's order, over a relation of its rows; a row of nulls, which stands for no row, comes anywhere."""
    direction = sql.SQL("desc" if what.descending else "asc")
    columns = [sql.Identifier(rows, sort), sql.Identifier(rows, "id")]
    return sql.SQL(", ").join([sql.SQL("{} {}").format(column, direction) for column in columns])


def _owned(page: sql.Composed, owner: Owner | None) -> sql.Composed:
    """The page's rows, and whether the owner is there, rows or none."""
    known = sql.SQL("true")
    if owner is not None:
        known = sql.SQL("exists (select 1 from {owner} o where o.id = %(owner)s::bigint)").format(
            owner=sql.Identifier("read_models", owner.model)
        )
    return sql.SQL(
        """
        select k.known, p.id, p.sort::text as sort_text, p.sort, p.document::text as document
          from (select {known} as known) k
          left join ({page}) p on k.known
        """
    ).format(known=known, page=page)


def _gathered(what: Listing, conditions: Sequence[sql.Composable], gathering: Gathering) -> sql.Composed:
    return sql.SQL(
        """
        select p.*
          from ({groups}) g(key)
         cross join lateral ({page}) p
         order by {order}
         limit %(rows)s
        """
    ).format(
        groups=sql.SQL(gathering.groups),
        page=_page(what, [sql.SQL("m.{} = g.key").format(sql.Identifier(gathering.column)), *conditions]),
        order=_order(what, "p"),
    )


def _among(what: Listing, conditions: Sequence[sql.Composable], candidates: Candidates) -> sql.Composed:
    model = sql.Identifier("read_models", what.model)
    condition, near = candidates.exact, sql.SQL("")
    if candidates.near is not None:
        instead = sql.SQL("not exists (select from exact) and {}").format(candidates.near)
        near = sql.SQL("union all select m.id from {} m where {}").format(model, instead)
        condition = sql.SQL("({} or ({}))").format(candidates.exact, instead)
    # Of the two halves one is not run: what decides is computed before either.
    many = sql.SQL("(select count(*) from found) > %(most)s")
    few = sql.SQL("m.id = any(array(select id from found where (select count(*) from found) <= %(most)s))")
    return sql.SQL(
        """
        with exact as materialized (select m.id from {model} m where {exact} limit %(most)s + 1),
             found as materialized (select id from exact {near} limit %(most)s + 1)
        select p.*
          from (({ordered}) union all ({fetched})) p
         order by {order}
         limit %(rows)s
        """
    ).format(
        model=model,
        exact=candidates.exact,
        near=near,
        ordered=_page(what, [many, condition, *conditions]),
        fetched=_page(what, [few, *conditions]),
        order=_order(what, "p"),
    )


def _page(what: Listing, conditions: Sequence[sql.Composable]) -> sql.Composed:
    """One more row than the page shows, so that its end is known."""
    return sql.SQL(
        """
        select m.id, m.{sort} as sort, m.document
          from {model} m
         where {conditions}
         order by {order}
         limit %(rows)s
        """
    ).format(
        sort=sql.Identifier(what.sort),
        model=sql.Identifier("read_models", what.model),
        conditions=sql.SQL(" and ").join(conditions) if conditions else sql.SQL("true"),
        order=_order(what, "m", what.sort),
    )

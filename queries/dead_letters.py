"""Dead letters over HTTP: what is parked in either store, without values, and how an operator has it tried again.

The query server's role writes no table. It may call one function of the serving store, which notes what is wanted for the
projector; the analytics store is asked over its projector's endpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import psycopg
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from psycopg import sql
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from projectors.letters import Place, place_of
from queries.access import Guarded
from queries.analytics import Analytics
from queries.problems import Problem
from queries.store import Store, statement_over
from queries.tokens import Demand

logger = logging.getLogger(__name__)

router = APIRouter(route_class=Guarded, tags=["server"])

MOST = 500  # letters of a store that are listed, and that one request may name
FUNCTION = "readside.ask_for_retry(text, integer, bigint)"

_COLUMNS = ("id", "topic", "partition", "offset", "table", "xid", "end_lsn", "order", "bytes", "reason", "key_hash")
_LETTERS = statement_over(
    sql.SQL(
        """
        select format('%%s[%%s]@%%s', topic, partition, "offset") as id, topic, partition, "offset", "table", xid,
               end_lsn::text, "order", octet_length(payload) as bytes, reason,
               left(encode(sha256(convert_to(key, 'UTF8')), 'hex'), 16) as key_hash
          from readside.dead_letters
         order by dead_letters.end_lsn, "order", "offset"
         limit {most}
        """
    ).format(most=sql.Literal(MOST)),
    order=sql.SQL("q.end_lsn::pg_lsn, q.order, q.offset"),
)


class Letter(BaseModel):
    """A dead letter in a store."""

    model_config = ConfigDict(extra="forbid")

    store: Literal["serving", "analytics"]
    id: Annotated[str, StringConstraints(max_length=400)] = Field(examples=["shop.public.orders[0]@42"])


class Wanted(BaseModel):
    """What is to be tried again; what is parked for the same row is tried with it, in order."""

    model_config = ConfigDict(extra="forbid")

    letters: list[Letter] = Field(min_length=1, max_length=MOST)


@router.get("/dead-letters")
def dead_letters(request: Request) -> JSONResponse:
    """What is parked, in the order of the source's commits, and without values. `silent`: stores that did not answer."""
    store: Store = request.app.state.store
    analytics: Analytics = request.app.state.analytics
    items: list[dict[str, Any]] = []
    silent: list[str] = []
    for name, listed in (("serving", lambda: _of_serving(store)), ("analytics", analytics.dead_letters)):
        try:
            items += [{"store": name, **letter} for letter in listed()[:MOST]]
        except (Problem, psycopg.OperationalError):
            silent.append(name)
    return JSONResponse({"items": items, "silent": silent})


@router.post("/dead-letters/retry", status_code=202)
def retry(request: Request, wanted: Wanted) -> JSONResponse:
    """Have letters tried again. 202: it is noted, and the projector takes it up within a second; see the list then."""
    places = [(letter.store, letter.id, _place(letter.id)) for letter in wanted.letters]
    serving = [place for store, _, place in places if store == "serving"]
    missing = _ask_serving(request.app.state.store, serving) if serving else set[Place]()
    analytics: Analytics = request.app.state.analytics
    if others := [place for store, _, place in places if store == "analytics"]:
        there = {letter["id"] for letter in analytics.dead_letters()}
        analytics.retry([place for place in others if str(place) in there])
        gone = {("analytics", str(place)) for place in others if str(place) not in there}
    else:
        gone = set[tuple[str, str]]()
    gone |= {("serving", str(place)) for place in missing}
    named = [{"store": store, "id": id} for store, id, _ in places]
    logger.info(
        "dead letters are to be tried again", extra={"action": "retry_asked", "letters": len(named) - len(gone)}
    )
    return JSONResponse(
        {
            "asked": [each for each in named if (each["store"], each["id"]) not in gone],
            "missing": [each for each in named if (each["store"], each["id"]) in gone],
        },
        202,
    )


def _place(id: str) -> Place:
    place = place_of(id)
    if place is None or place.partition >= 2**31 or place.offset >= 2**63:
        message = "is not of the form topic[partition]@offset"
        raise Problem("invalid", "errors[] says what is wrong.", errors=[{"pointer": "/letters", "message": message}])
    return place


def _of_serving(store: Store) -> list[dict[str, Any]]:
    rows = store.read(_LETTERS, {}, Demand()).rows
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows if row[0] is not None]


def _ask_serving(store: Store, places: Sequence[Place]) -> set[Place]:
    """Note the wish; returns those that are not there."""
    try:
        with store.pool.connection() as conn, conn.transaction():
            conn.execute("set transaction read write")  # the connections of this server are read-only otherwise
            answers = [
                conn.execute(
                    "select readside.ask_for_retry(%(topic)s, %(partition)s::int, %(offset)s)", place._asdict()
                ).fetchone()
                for place in places
            ]
    except psycopg.errors.InsufficientPrivilege as error:
        detail = f"The query server's role needs EXECUTE on function {FUNCTION}; ./readside setup grants it."
        raise Problem("not-granted", detail) from error
    except psycopg.errors.UndefinedFunction as error:
        detail = f"The store has no function {FUNCTION}; the projector makes it when it starts."
        raise Problem("not-ready", detail, headers={"Retry-After": "5"}) from error
    return {place for place, answer in zip(places, answers, strict=True) if answer != (True,)}

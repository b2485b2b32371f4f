"""Stock: what is on hand, what is reserved for orders, and what is therefore available."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from psycopg.rows import DictRow
from pydantic import ConfigDict, Field

from writer.access import Actor, Guarded, actor_of
from writer.answers import StockAnswer
from writer.execution import Answer, IfMatch, execute
from writer.fields import Body, Id, identify
from writer.problems import INSUFFICIENT_INVENTORY, Problem, problems, unknown
from writer.transaction import Database, announce, only
from writer.version import check_version

routes = APIRouter(tags=["catalog"], route_class=Guarded)

LIMIT = 1_000_000_000  # of one change; far below what the column holds


class StockChange(Body):
    """How many arrived (or, below zero, went)."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"delta": 25}]})

    delta: Annotated[int, Field(ge=-LIMIT, le=LIMIT)]


@routes.patch("/products/{product_id}/stock", response_model=StockAnswer, responses=problems(404, 409, 412))
def change_stock(request: Request, product_id: Id, body: StockChange, if_match: IfMatch = None) -> Response:
    """Add to a product's stock or take from it, never below what orders have reserved."""
    return execute(
        request, lambda db: restock(db, actor_of(request), identify(product_id, "product"), body.delta, if_match)
    )


def restock(db: Database, actor: Actor, id: int, delta: int, if_match: str | None) -> Answer:
    """The stock after the change."""
    row = _lock(db, actor, id)
    check_version(row["version"], if_match=if_match)
    available = row["on_hand"] - row["reserved"]
    if available + delta < 0:
        raise Problem(
            INSUFFICIENT_INVENTORY,
            f"product {id}: {-delta} cannot go, available {available}",
            members={"shortages": [{"product_id": str(id), "asked": -delta, "available": available}]},
        )
    if delta == 0:
        announce(db)
        return Answer(body=_stock(row))
    changed = db.execute(
        """
        update stock
        set on_hand = on_hand + %(delta)s,
            version = version + 1
        where product_id = %(id)s
        returning product_id, on_hand, reserved, version
        """,
        {"id": id, "delta": delta},
    )
    return Answer(body=_stock(only(changed)))


def _lock(db: Database, actor: Actor, id: int) -> DictRow:
    """Lock the stock alone, as orders do: a product never changes its seller."""
    row = db.execute(
        """
        select stock.product_id, products.seller_id, stock.on_hand, stock.reserved, stock.version
        from stock
        join products on products.id = stock.product_id
        where stock.product_id = %(id)s
        for no key update of stock
        """,
        {"id": id},
    ).fetchone()
    if row is None:
        raise unknown("product")
    actor.require_own(row["seller_id"], "the product")
    return row


def _stock(row: DictRow) -> dict[str, object]:
    return {
        "product_id": str(row["product_id"]),
        "on_hand": row["on_hand"],
        "reserved": row["reserved"],
        "available": row["on_hand"] - row["reserved"],
        "version": row["version"],
    }

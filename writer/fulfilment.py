"""An order's life after placing: pending → paid → shipped → delivered, or cancelled while pending."""

from __future__ import annotations

from typing import LiteralString

from fastapi import APIRouter, Request, Response
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from pydantic import ConfigDict

from writer.access import Actor, Guarded, actor_of
from writer.answers import OrderAnswer, order_answer
from writer.execution import Answer, IdempotencyKey, IfMatch, execute
from writer.fields import Body, Id, Name, ShippingAddress, Title, Version, identify
from writer.problems import WRONG_STATUS, Problem, problems, unknown
from writer.transaction import Database, only
from writer.version import check_version

routes = APIRouter(tags=["orders"], route_class=Guarded, responses=problems(404, 409, 412))


class Shipment(Body):
    """Who carries the goods, and under which number."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"carrier": "UPS", "tracking_number": "1Z999AA1"}]})

    carrier: Name
    tracking_number: Name


class Cancellation(Body):
    """Why, and who wished it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "ordered twice", "requested_by": "customer"}]})

    reason: Title
    requested_by: Name


class AddressChange(ShippingAddress):
    """The whole new address, and the order's version it is meant for."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"line1": "1 Rue de Rivoli", "city": "Paris", "country": "FR", "version": 1}]}
    )

    version: Version


@routes.post("/orders/{order_id}/pay", response_model=OrderAnswer)
def pay_order(request: Request, order_id: Id, key: IdempotencyKey = None, if_match: IfMatch = None) -> Response:
    """Capture the payment of a pending order."""
    actor = actor_of(request)
    return execute(request, lambda db: pay(db, actor, identify(order_id, "order"), if_match), key=key)


@routes.post("/orders/{order_id}/ship", response_model=OrderAnswer)
def ship_order(
    request: Request, order_id: Id, body: Shipment, key: IdempotencyKey = None, if_match: IfMatch = None
) -> Response:
    """Hand a paid order to its carrier; its goods leave the stock."""
    actor = actor_of(request)
    return execute(request, lambda db: ship(db, actor, identify(order_id, "order"), body, if_match), key=key, body=body)


@routes.post("/orders/{order_id}/deliver", response_model=OrderAnswer)
def deliver_order(request: Request, order_id: Id, key: IdempotencyKey = None, if_match: IfMatch = None) -> Response:
    """Note that a shipped order has arrived."""
    actor = actor_of(request)
    return execute(request, lambda db: deliver(db, actor, identify(order_id, "order"), if_match), key=key)


@routes.post("/orders/{order_id}/cancel", response_model=OrderAnswer)
def cancel_order(
    request: Request, order_id: Id, body: Cancellation, key: IdempotencyKey = None, if_match: IfMatch = None
) -> Response:
    """Cancel a pending order; its stock is free again and its payment void."""
    actor = actor_of(request)
    return execute(
        request, lambda db: cancel(db, actor, identify(order_id, "order"), body, if_match), key=key, body=body
    )


@routes.put("/orders/{order_id}/shipping-address", response_model=OrderAnswer)
def readdress_order(request: Request, order_id: Id, body: AddressChange, if_match: IfMatch = None) -> Response:
    """Send the order elsewhere, as long as it has not been shipped."""
    actor = actor_of(request)
    return execute(request, lambda db: readdress(db, actor, identify(order_id, "order"), body, if_match))


def pay(db: Database, actor: Actor, id: int, if_match: str | None) -> Answer:
    """The order as paid."""
    _lock(db, actor, id, "pay", allowed=("pending",), if_match=if_match)
    db.execute(
        """
        with captured as (
            update payments
            set status = 'captured'
            where order_id = %(id)s
            returning id, amount
        )
        insert into payment_transactions (payment_id, kind, amount)
        select id, 'capture', amount
        from captured
        """,
        {"id": id},
    )
    return _moved(db, id, "paid")


def ship(db: Database, actor: Actor, id: int, shipment: Shipment, if_match: str | None) -> Answer:
    """The order as shipped."""
    _lock(db, actor, id, "ship", allowed=("paid",), if_match=if_match)
    _lock_stock(db, id)
    db.execute(
        """
        with shipped as (
            select product_id, sum(quantity) as quantity
            from order_items
            where order_id = %(id)s
            group by product_id
        )
        update stock
        set on_hand = on_hand - shipped.quantity,
            reserved = reserved - shipped.quantity,
            version = version + 1
        from shipped
        where stock.product_id = shipped.product_id
        """,
        {"id": id},
    )
    return _moved(db, id, "shipped", carrier=shipment.carrier, tracking_number=shipment.tracking_number)


def deliver(db: Database, actor: Actor, id: int, if_match: str | None) -> Answer:
    """The order as delivered."""
    _lock(db, actor, id, "deliver", allowed=("shipped",), if_match=if_match)
    return _moved(db, id, "delivered")


def cancel(db: Database, actor: Actor, id: int, cancellation: Cancellation, if_match: str | None) -> Answer:
    """The order as cancelled. Nothing is refunded, since nothing was captured."""
    _lock(db, actor, id, "cancel", allowed=("pending",), if_match=if_match)
    _lock_stock(db, id)
    db.execute(
        """
        with freed as (
            select product_id, sum(quantity) as quantity
            from order_items
            where order_id = %(id)s
            group by product_id
        )
        update stock
        set reserved = reserved - freed.quantity,
            version = version + 1
        from freed
        where stock.product_id = freed.product_id
        """,
        {"id": id},
    )
    db.execute(
        """
        update payments
        set status = 'voided'
        where order_id = %(id)s
        """,
        {"id": id},
    )
    return _moved(db, id, "cancelled", cancel_reason=cancellation.reason, cancelled_by=cancellation.requested_by)


def readdress(db: Database, actor: Actor, id: int, change: AddressChange, if_match: str | None) -> Answer:
    """The order with its new address."""
    allowed = ("pending", "paid")
    _lock(db, actor, id, "readdress", allowed=allowed, stated=change.version, if_match=if_match)
    return _moved(db, id, None, shipping_address=Jsonb(change.fields_given))


def _lock(
    db: Database,
    actor: Actor,
    id: int,
    verb: LiteralString,
    *,
    allowed: tuple[LiteralString, ...],
    if_match: str | None,
    stated: int | None = None,
) -> None:
    """Lock the order, before its stock and after nothing, and refuse what its version or status forbids."""
    row = db.execute(
        """
        select user_id, status, version
        from orders
        where id = %(id)s
        for no key update
        """,
        {"id": id},
    ).fetchone()
    if row is None or not actor.owns(row["user_id"]):
        raise unknown("order")  # nobody is told of other people's orders
    check_version(row["version"], stated=stated, if_match=if_match)
    if row["status"] not in allowed:
        raise Problem(
            WRONG_STATUS,
            f"cannot {verb} an order that is {row['status']}; it must be {' or '.join(allowed)}",
            members={"actual": row["status"]},
        )


def _lock_stock(db: Database, id: int) -> None:
    """Lock the stock of the order's products by product id, as placing does: no two orders wait in a ring."""
    db.execute(
        """
        select product_id
        from stock
        where product_id in (select product_id from order_items where order_id = %(id)s)
        order by product_id
        for no key update
        """,
        {"id": id},
    )


def _moved(db: Database, id: int, status: LiteralString | None, **columns: object) -> Answer:
    """The order with a new status and the columns given; the others stay."""
    unchanged = dict.fromkeys(("carrier", "tracking_number", "cancel_reason", "cancelled_by", "shipping_address"))
    row: DictRow = only(
        db.execute(
            """
            update orders
            set status = coalesce(%(status)s, status),
                carrier = coalesce(%(carrier)s, carrier),
                tracking_number = coalesce(%(tracking_number)s, tracking_number),
                cancel_reason = coalesce(%(cancel_reason)s, cancel_reason),
                cancelled_by = coalesce(%(cancelled_by)s, cancelled_by),
                shipping_address = coalesce(%(shipping_address)s, shipping_address),
                version = version + 1,
                updated_at = now()
            where id = %(id)s
            returning id, number, status, currency, subtotal, tax, shipping, total, version
            """,
            {"id": id, "status": status, **unchanged, **columns},
        )
    )
    return Answer(body=order_answer(row))

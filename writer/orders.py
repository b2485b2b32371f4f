"""Placing an order: prices as they are now, stock reserved, payment pending."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Request, Response
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from pydantic import ConfigDict, Field, StringConstraints, model_validator

from writer.access import Guarded
from writer.answers import OrderAnswer, order_answer
from writer.execution import Answer, IdempotencyKey, created, execute
from writer.fields import Body, Id, Name, ShippingAddress, identify
from writer.pricing import DELIVERY_DAYS, Quote, ShippingMethod, quote
from writer.problems import INSUFFICIENT_INVENTORY, NOT_ELIGIBLE, Problem, problems, unknown
from writer.transaction import Database, only

routes = APIRouter(tags=["orders"], route_class=Guarded)


class Line(Body):
    """How much of which product."""

    product_id: Id
    quantity: Annotated[int, Field(ge=1, le=10_000, examples=[2])]


class PaymentMethod(Body):
    """How the customer pays; a bare string is the method alone."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"method": "card", "last_four": "4242"}]})

    method: Annotated[Name, Field(examples=["card"])]
    last_four: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}$")] | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_name(cls, value: object) -> object:
        return {"method": value} if isinstance(value, str) else value


class OrderPlacement(Body):
    """An order as the customer sends it off."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "customer_id": "7",
                    "items": [{"product_id": "42", "quantity": 2}],
                    "shipping_address": {"line1": "12 St James's Square", "city": "London", "country": "GB"},
                    "shipping_method": "standard",
                    "payment_method": "card",
                }
            ]
        }
    )

    customer_id: Id
    items: Annotated[list[Line], Field(min_length=1, max_length=100)]
    shipping_address: ShippingAddress
    shipping_method: ShippingMethod
    payment_method: PaymentMethod


@routes.post("/orders", status_code=201, response_model=OrderAnswer, responses=problems(403, 404, 409, 422))
def place_order(request: Request, body: OrderPlacement, key: IdempotencyKey = None) -> Response:
    """Place an order; its stock is reserved until it is shipped or cancelled."""
    currency = request.app.state.shop.settings.currency
    return execute(request, lambda db: place(db, body, currency), key=key, body=body)


def place(db: Database, order: OrderPlacement, currency: str) -> Answer:
    """The order as placed, or a `Problem`: unknown customer or product, suspended customer, too small, no stock."""
    asked: Counter[int] = Counter()
    for line in order.items:
        asked[identify(line.product_id, "product")] += line.quantity
    customer = identify(order.customer_id, "customer")
    products = _reach(db, customer, asked)
    amounts = quote(
        ((products[int(line.product_id)]["price"], line.quantity) for line in order.items), order.shipping_method
    )
    _check_stock(products, asked)
    return _insert(db, order, customer, products, asked, amounts, currency)


def _reach(db: Database, customer: int, asked: Counter[int]) -> dict[int, DictRow]:
    """The products asked for, with what is available of each; customer and stock locked until the end.

    Everyone locks the customer first and stock by product id after it, so orders wait for each other and never in a
    ring. The customer is locked so that no order of a suspended customer commits after the suspension.
    """
    status = db.execute("select status from users where id = %(id)s for share", {"id": customer})
    goods = db.execute(
        """
        select id, sku, name, image_url, price
        from products
        where id = any(%(ids)s::bigint[])
        """,
        {"ids": list(asked)},
    )
    stock = db.execute(
        """
        select product_id, on_hand - reserved as available
        from stock
        where product_id = any(%(ids)s::bigint[])
        order by product_id
        for no key update
        """,
        {"ids": list(asked)},
    )
    _check_customer(status.fetchone())
    available = {row["product_id"]: row["available"] for row in stock}
    products = {row["id"]: {**row, "available": available.get(row["id"], 0)} for row in goods}
    if len(products) < len(asked):
        raise unknown("product")
    return products


def _check_customer(row: DictRow | None) -> None:
    if row is None:
        raise unknown("customer")
    if row["status"] != "active":
        raise Problem(NOT_ELIGIBLE, "the customer is suspended")


def _check_stock(products: dict[int, DictRow], asked: Counter[int]) -> None:
    shortages = [
        {"product_id": str(id), "asked": quantity, "available": products[id]["available"]}
        for id, quantity in asked.items()
        if quantity > products[id]["available"]
    ]
    if shortages:
        raise Problem(
            INSUFFICIENT_INVENTORY,
            "; ".join("product {product_id}: asked {asked}, available {available}".format_map(s) for s in shortages),
            members={"shortages": shortages},
        )


def _insert(
    db: Database,
    order: OrderPlacement,
    customer: int,
    products: dict[int, DictRow],
    asked: Counter[int],
    amounts: Quote,
    currency: str,
) -> Answer:
    lines = [products[int(line.product_id)] for line in order.items]
    placed = db.execute(
        """
        with fresh as (
            select nextval('orders_id_seq') as id
        ),
        placed as (
            insert into orders (
                id, number, user_id, currency, subtotal, tax, shipping, total,
                shipping_method, shipping_address, estimated_delivery
            )
            select id,
                   'ORD-' || to_char(now() at time zone 'UTC', 'YYYY')
                   || '-' || lpad(id::text, greatest(6, length(id::text)), '0'),
                   %(user_id)s, %(currency)s, %(subtotal)s, %(tax)s, %(shipping)s, %(total)s,
                   %(shipping_method)s, %(shipping_address)s,
                   (now() at time zone 'UTC')::date + %(delivery_days)s::integer
            from fresh
            returning id, number, status, currency, subtotal, tax, shipping, total, version
        ),
        lines as (
            insert into order_items (order_id, product_id, sku, name, image_url, unit_price, quantity)
            select placed.id, line.product_id, line.sku, line.name, line.image_url, line.unit_price, line.quantity
            from placed,
                 unnest(
                     %(product_ids)s::bigint[], %(skus)s::text[], %(names)s::text[], %(image_urls)s::text[],
                     %(prices)s::numeric[], %(quantities)s::integer[]
                 ) with ordinality as line (product_id, sku, name, image_url, unit_price, quantity, position)
            order by line.position
        ),
        reserved as (
            update stock
            set reserved = reserved + asked.quantity,
                version = version + 1
            from unnest(%(asked_ids)s::bigint[], %(asked_quantities)s::bigint[]) as asked (product_id, quantity)
            where stock.product_id = asked.product_id
        ),
        payment as (
            insert into payments (order_id, method, last_four, amount)
            select id, %(method)s, %(last_four)s, total
            from placed
        )
        select id, number, status, currency, subtotal, tax, shipping, total, version
        from placed
        """,
        {
            "user_id": customer,
            "currency": currency,
            "subtotal": amounts.subtotal,
            "tax": amounts.tax,
            "shipping": amounts.shipping,
            "total": amounts.total,
            "shipping_method": order.shipping_method,
            "shipping_address": Jsonb(order.shipping_address.fields_given),
            "delivery_days": DELIVERY_DAYS[order.shipping_method],
            "product_ids": [line["id"] for line in lines],
            "skus": [line["sku"] for line in lines],
            "names": [line["name"] for line in lines],
            "image_urls": [line["image_url"] for line in lines],
            "prices": [line["price"] for line in lines],
            "quantities": [line.quantity for line in order.items],
            "asked_ids": list(asked.keys()),
            "asked_quantities": list(asked.values()),
            "method": order.payment_method.method,
            "last_four": order.payment_method.last_four,
        },
    )
    body = order_answer(only(placed))
    return created(body, location=f"/orders/{body['id']}")

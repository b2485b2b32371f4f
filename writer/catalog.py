"""Sellers, categories and products: what is offered, and at which price."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Request, Response
from psycopg.rows import DictRow
from pydantic import ConfigDict, Field

from writer.access import Actor, Guarded, actor_of
from writer.answers import Made, ProductAnswer
from writer.execution import Answer, IdempotencyKey, IfMatch, created, execute
from writer.fields import Body, Id, Price, Prose, Title, Url, Version, identify
from writer.problems import invalid, problems, unknown
from writer.transaction import Database, announce, only
from writer.version import check_version

routes = APIRouter(tags=["catalog"], route_class=Guarded)


class SellerRegistration(Body):
    """A new seller."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Analytical Engines Ltd"}]})

    name: Title


class CategoryCreation(Body):
    """A new category."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Calculators"}]})

    name: Title


class ProductOffer(Body):
    """A new product; its stock begins with `stock`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "seller_id": "1",
                    "category_id": "1",
                    "sku": "AE-1",
                    "name": "Difference engine",
                    "description": "Adds, and prints the sum.",
                    "price": "1250.00",
                    "stock": 10,
                }
            ]
        }
    )

    seller_id: Id
    category_id: Id
    sku: Annotated[Title, Field(max_length=64)]
    name: Title
    description: Prose = ""
    image_url: Url | None = None
    price: Price
    currency: str | None = None
    stock: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0


class PriceChange(Body):
    """A new price, and the product's version it is meant for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"price": "999.00", "version": 1}]})

    price: Price
    version: Version


class RelatedProducts(Body):
    """The products shown beside this one, all of them."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"related": ["43", "44"]}]})

    related: Annotated[list[Id], Field(max_length=100)]


@routes.post("/sellers", status_code=201, response_model=Made, responses=problems(409))
def register_seller(request: Request, body: SellerRegistration, key: IdempotencyKey = None) -> Response:
    """Register a seller."""
    return execute(request, lambda db: register(db, body), key=key, body=body)


@routes.post("/categories", status_code=201, response_model=Made, responses=problems(409))
def create_category(request: Request, body: CategoryCreation, key: IdempotencyKey = None) -> Response:
    """Create a category."""
    return execute(request, lambda db: categorise(db, body), key=key, body=body)


@routes.post("/products", status_code=201, response_model=ProductAnswer, responses=problems(404, 409))
def offer_product(request: Request, body: ProductOffer, key: IdempotencyKey = None) -> Response:
    """Offer a product; its sku must be free."""
    currency = request.app.state.shop.settings.currency
    return execute(request, lambda db: offer(db, body, currency), key=key, body=body)


@routes.patch("/products/{product_id}/price", response_model=ProductAnswer, responses=problems(404, 409, 412))
def change_price(request: Request, product_id: Id, body: PriceChange, if_match: IfMatch = None) -> Response:
    """Change a product's price from now on; orders placed keep theirs. The same price again changes nothing."""
    return execute(request, lambda db: reprice(db, actor_of(request), identify(product_id, "product"), body, if_match))


@routes.put("/products/{product_id}/related", response_model=ProductAnswer, responses=problems(404, 412))
def relate_products(request: Request, product_id: Id, body: RelatedProducts, if_match: IfMatch = None) -> Response:
    """Replace the products related to this one. The same ones again change nothing."""
    return execute(request, lambda db: relate(db, actor_of(request), identify(product_id, "product"), body, if_match))


def register(db: Database, seller: SellerRegistration) -> Answer:
    """The new seller."""
    row = only(db.execute("insert into sellers (name) values (%(name)s) returning id", {"name": seller.name}))
    return created({"id": str(row["id"])})


def categorise(db: Database, category: CategoryCreation) -> Answer:
    """The new category."""
    row = only(db.execute("insert into categories (name) values (%(name)s) returning id", {"name": category.name}))
    return created({"id": str(row["id"])})


def offer(db: Database, product: ProductOffer, currency: str) -> Answer:
    """The new product, in stock."""
    if product.currency not in (None, currency):
        raise invalid("/currency", f"the shop sells in {currency}")
    offered = db.execute(
        """
        with offered as (
            insert into products (seller_id, category_id, sku, name, description, image_url, price, currency)
            values (
                %(seller_id)s, %(category_id)s, %(sku)s, %(name)s, %(description)s, %(image_url)s,
                %(price)s, %(currency)s
            )
            returning id, version, price, currency
        ),
        stocked as (
            insert into stock (product_id, on_hand)
            select id, %(stock)s
            from offered
        )
        select id, version, price, currency
        from offered
        """,
        {
            **product.model_dump(),
            "seller_id": identify(product.seller_id, "seller"),
            "category_id": identify(product.category_id, "category"),
            "currency": currency,
        },
    )
    row = only(offered)
    return created(_product(row), location=f"/products/{row['id']}")


def reprice(db: Database, actor: Actor, id: int, change: PriceChange, if_match: str | None) -> Answer:
    """The product at its new price, the change recorded."""
    row = _lock(db, actor, id)
    check_version(row["version"], stated=change.version, if_match=if_match)
    if row["price"] == change.price:
        announce(db)
        return Answer(body=_product(row))
    db.execute(
        """
        insert into price_changes (product_id, old_price, new_price)
        values (%(id)s, %(old_price)s, %(new_price)s)
        """,
        {"id": id, "old_price": row["price"], "new_price": change.price},
    )
    return Answer(body=_changed(db, id, price=change.price))


def relate(db: Database, actor: Actor, id: int, change: RelatedProducts, if_match: str | None) -> Answer:
    """The product with these related ones and no others."""
    related = sorted({identify(other, "product") for other in change.related})
    if id in related:
        raise invalid(f"/related/{change.related.index(str(id))}", "a product is not related to itself")
    row = _lock(db, actor, id)
    check_version(row["version"], if_match=if_match)
    parameters = {"id": id, "related": related}
    removed = db.execute(
        """
        delete from related_products
        where product_id = %(id)s
          and related_id <> all(%(related)s::bigint[])
        returning related_id
        """,
        parameters,
    )
    added = db.execute(
        """
        insert into related_products (product_id, related_id)
        select %(id)s, unnest(%(related)s::bigint[])
        on conflict do nothing
        returning related_id
        """,
        parameters,
    )
    if removed.fetchall() or added.fetchall():
        return Answer(body=_changed(db, id))
    announce(db)
    return Answer(body=_product(row))


def _lock(db: Database, actor: Actor, id: int) -> DictRow:
    row = db.execute(
        """
        select id, seller_id, version, price, currency
        from products
        where id = %(id)s
        for no key update
        """,
        {"id": id},
    ).fetchone()
    if row is None:
        raise unknown("product")
    actor.require_own(row["seller_id"], "the product")
    return row


def _changed(db: Database, id: int, price: Decimal | None = None) -> dict[str, object]:
    changed = db.execute(
        """
        update products
        set price = coalesce(%(price)s, price),
            version = version + 1
        where id = %(id)s
        returning id, version, price, currency
        """,
        {"id": id, "price": price},
    )
    return _product(only(changed))


def _product(row: DictRow) -> dict[str, object]:
    return {
        "id": str(row["id"]),
        "version": row["version"],
        "price": str(row["price"]),
        "currency": row["currency"],
    }

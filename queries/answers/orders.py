"""An order's page, and an order in lists."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from queries.answers.vocabulary import Amount, Currency, Document, Id, Moment, Status, Version


class Customer(Document):
    """Who ordered."""

    id: Id
    name: Annotated[str, Field(examples=["Ada Lovelace"])]
    email: str
    phone: str | None
    loyalty_tier: Annotated[str, Field(examples=["gold"])]


class OrderLine(Document):
    """One line of an order: the product as it was when the order was placed."""

    product_id: Id
    sku: str
    name: Annotated[str, Field(examples=["Difference engine"])]
    image_url: str | None
    unit_price: Amount
    quantity: int
    discounts: list[Any]
    line_total: Amount


class Shipping(Document):
    """Where an order goes, and how."""

    address: dict[str, str | None]
    method: str
    carrier: str | None
    tracking_number: str | None
    estimated_delivery: Annotated[str, Field(json_schema_extra={"format": "date"}, examples=["2026-12-01"])]


class Transaction(Document):
    """Money that moved."""

    kind: Literal["capture", "refund"]
    amount: Amount
    created_at: Moment


class Payment(Document):
    """How an order is paid."""

    method: str
    last_four: str | None
    status: Literal["pending", "captured", "voided"]
    transactions: list[Transaction]


class TimelineStep(Document):
    """A change of an order's status."""

    at: Moment
    status: Status
    what: Annotated[str, Field(examples=["Payment received"])]


class OrderDetails(Document):
    """An order's page."""

    id: Id
    number: Annotated[str, Field(examples=["ORD-2026-000042"])]
    status: Status
    customer: Customer
    items: list[OrderLine]
    shipping: Shipping
    payment: Payment | None
    subtotal: Amount
    tax: Amount
    shipping_cost: Amount
    total: Amount
    currency: Currency
    can_cancel: bool
    timeline: list[TimelineStep]
    version: Version
    placed_at: Moment
    updated_at: Moment


class OrderListItem(Document):
    """An order as lists and searches show it."""

    id: Id
    number: Annotated[str, Field(examples=["ORD-2026-000042"])]
    status: Status
    status_label: Annotated[str, Field(examples=["Pending"])]
    customer_name: Annotated[str, Field(examples=["Ada Lovelace"])]
    customer_email: str
    item_count: int
    item_preview: Annotated[list[str], Field(max_length=3, description="The names of the first three lines.")]
    subtotal: Amount
    tax: Amount
    shipping: Amount
    total: Amount
    currency: Currency
    estimated_delivery: Annotated[str, Field(json_schema_extra={"format": "date"})]
    can_cancel: bool
    placed_at: Moment
    updated_at: Moment
    version: Version

"""What the shop sold, summed up."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from queries.answers.vocabulary import Amount, Currency, Document, Id, Moment


class ProductSales(Document):
    """What a product brought in."""

    product_id: Id
    name: str
    quantity: int
    revenue: Amount


class Segment(Document):
    """What the customers of a loyalty tier bought."""

    customers: int
    orders: int
    revenue: Amount


class Day(Document):
    """A day, in UTC."""

    day: Annotated[str, Field(json_schema_extra={"format": "date"})]
    orders: int
    cancelled: int
    revenue: Amount


class Range(Document):
    """Orders placed from start, inclusive, to end, exclusive."""

    start: Moment | None
    end: Moment | None
    currency: Currency


class OrdersSummary(Range):
    """What the shop sold in a range of time."""

    total_orders: int
    total_revenue: Amount
    average_order_value: Amount | None
    orders_by_status: dict[str, int]
    top_products: Annotated[list[ProductSales], Field(max_length=10)]
    customer_segments: dict[str, Segment]
    by_day: list[Day]


class Hour(Document):
    """An hour with an order, in UTC."""

    hour: Annotated[str, Field(examples=["2026-11-25T09:00:00Z"])]
    orders: int
    cancelled: int
    revenue: Amount
    average_order_value: Amount | None


class OrdersHourly(Range):
    """The same by the hour."""

    by_hour: list[Hour]

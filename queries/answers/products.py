"""A product's page, and a product in lists."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from queries.answers.vocabulary import Amount, Average, Currency, Document, Id, Moment, Person, Version


class ProductCard(Document):
    """A product as lists show it."""

    id: Id
    sku: str
    name: str
    image_url: str | None
    category: Annotated[str, Field(examples=["Calculators"])]
    category_id: Id
    price: Amount
    currency: Currency
    in_stock: bool
    available: int
    average_rating: Average
    review_count: int
    created_at: Moment
    version: Version


class Review(Document):
    """What somebody thinks of a product."""

    id: Id
    author: Person
    rating: Annotated[int, Field(ge=1, le=5)]
    body: str
    created_at: Moment


class Seller(Document):
    """Who sells a product."""

    id: Id
    name: str
    reputation: Average
    review_count: int
    product_count: int


class RelatedProduct(Document):
    """A product shown beside another."""

    id: Id
    name: str
    price: Amount
    average_rating: Average


class Price(Document):
    """A price, and since when."""

    at: Moment
    price: Amount


class Histogram(Document):
    """How many reviews gave how many stars."""

    one: int = Field(alias="1")
    two: int = Field(alias="2")
    three: int = Field(alias="3")
    four: int = Field(alias="4")
    five: int = Field(alias="5")


class ProductPage(Document):
    """A product's page."""

    id: Id
    sku: str
    name: str
    description: str
    image_url: str | None
    category: str
    category_id: Id
    price: Amount
    currency: Currency
    in_stock: bool
    available: int
    average_rating: Average
    review_count: int
    rating_histogram: Histogram
    latest_reviews: Annotated[list[Review], Field(max_length=5, description="Newest first.")]
    seller: Seller
    related: list[RelatedProduct]
    price_history: Annotated[list[Price], Field(max_length=30, description="Newest first.")]
    version: Version

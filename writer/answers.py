"""What commands answer with: the models are the OpenAPI document's, the functions make the answers from rows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from psycopg.rows import DictRow
from pydantic import BaseModel, Field

Id = Annotated[str, Field(examples=["42"])]
Amount = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]{2}$", examples=["19.90"])]
Version = Annotated[int, Field(examples=[1])]


class Made(BaseModel):
    """Something without versions."""

    id: Id


class Versioned(BaseModel):
    """Something with its current version."""

    id: Id
    version: Version


class UserAnswer(Versioned):
    """A user after a command."""

    status: Literal["active", "suspended"]


class PostAnswer(Versioned):
    """A post after a command."""

    status: Literal["draft", "published"]


class ProductAnswer(Versioned):
    """A product after a command."""

    price: Amount
    currency: str


class StockAnswer(BaseModel):
    """A product's stock after a command."""

    product_id: Id
    on_hand: int
    reserved: int
    available: int
    version: Version


class OrderAnswer(Versioned):
    """An order after a command."""

    number: Annotated[str, Field(examples=["ORD-2026-000042"])]
    status: Literal["pending", "paid", "shipped", "delivered", "cancelled"]
    subtotal: Amount
    tax: Amount
    shipping: Amount
    total: Amount
    currency: Annotated[str, Field(examples=["USD"])]


def order_answer(row: DictRow) -> dict[str, Any]:
    """An order's row as its answer; amounts keep the two digits of their column."""
    return {
        "id": str(row["id"]),
        "number": row["number"],
        "status": row["status"],
        "subtotal": str(row["subtotal"]),
        "tax": str(row["tax"]),
        "shipping": str(row["shipping"]),
        "total": str(row["total"]),
        "currency": row["currency"],
        "version": row["version"],
    }

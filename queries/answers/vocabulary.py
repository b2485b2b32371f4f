"""The types that answers are described with."""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")

Id = Annotated[str, Field(pattern=r"^[1-9][0-9]*$", examples=["42"])]
Amount = Annotated[str, Field(pattern=r"^-?[0-9]+\.[0-9]{2}$", examples=["19.90"])]
Currency = Annotated[str, Field(examples=["USD"])]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-25T09:30:00.123456Z"])]
Average = Annotated[float | None, Field(ge=1, le=5, description="Two digits; null without reviews.", examples=[4.25])]
Version = Annotated[int, Field(ge=1, examples=[3])]
Status = Literal["pending", "paid", "shipped", "delivered", "cancelled"]


class Document(BaseModel):
    """Just the members that are named."""

    model_config = ConfigDict(extra="forbid")


class Items(Document, Generic[T]):
    """A page of a list."""

    items: list[T]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class Person(Document):
    """Who wrote something."""

    id: Id
    display_name: Annotated[str, Field(examples=["ada"])]


class Author(Person):
    """Who wrote a post or a comment."""

    avatar_url: str | None

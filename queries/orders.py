"""Routes of orders: the details of one, and the lists by user and by search."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from queries.listings import Filter, Listing, Owner, Page, listing
from queries.resources import MinVersion, key_of, resource
from queries.tokens import Headers, demand_of

router = APIRouter(tags=["orders"])

ITEMS = Listing(model="order_list_item", sort="placed_at", type="timestamptz")


class OrderPage(Page):
    """Query parameters of a user's orders."""

    status: Literal["pending", "paid", "shipped", "delivered", "cancelled"] | None = None


class OrderSearch(OrderPage):
    """Query parameters of the search over all orders."""

    search: str | None = Field(
        None,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="Words, each a prefix of one in the order's number, customer name or item names.",
    )


@router.get("/orders/{id}")
async def order_details(request: Request, id: str, headers: Headers, min_version: MinVersion = None) -> Response:
    """One order with customer, items, shipping, payment and timeline."""
    return await resource(request, "order_details", id, headers, min_version)


@router.get("/users/{id}/orders")
def user_orders(request: Request, id: str, page: Annotated[OrderPage, Query()], headers: Headers) -> Response:
    """A user's orders, newest first."""
    state, key = request.app.state, key_of(id)
    filters = (
        Filter(name="user_id", condition="m.user_id = %(user_id)s", value=key),
        Filter(name="status", condition="m.status = %(status)s", value=page.status),
    )
    owner = Owner(model="user_profile", key=key)
    return listing(state.store, ITEMS, page, demand_of(headers, state.settings), filters, owner)


@router.get("/orders")
def orders(request: Request, page: Annotated[OrderSearch, Query()], headers: Headers) -> Response:
    """All orders that match, newest first."""
    state = request.app.state
    filters = (
        Filter(name="search", condition="m.search @@ to_tsquery('simple', %(search)s)", value=prefixes(page.search)),
        Filter(name="status", condition="m.status = %(status)s", value=page.status),
    )
    return listing(state.store, ITEMS, page, demand_of(headers, state.settings), filters)


def prefixes(search: str | None) -> str | None:
    """A tsquery that wants every word of ``search`` as a prefix; None without a word.

    Each word is quoted, so that operators in it are text, and PostgreSQL splits it as it split the stored words.
    """
    words = (word.replace("\\", "\\\\").replace("'", "''") for word in (search or "").split())
    return " & ".join(f"'{word}':*" for word in words) or None

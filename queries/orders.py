"""Routes of orders: the details of one, and the lists by user and by search."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from queries.access import Guarded, whose
from queries.answers.orders import OrderDetails, OrderListItem
from queries.answers.vocabulary import Items
from queries.documents import View
from queries.listings import Filter, Listing, Owner, Page, listing
from queries.resources import MinVersion, Resource, key_of, resource
from queries.search import search
from queries.tokens import Headers, demand_of

router = APIRouter(route_class=Guarded, tags=["orders"])

DETAILS = Resource(
    "orders",
    _DETAILS := View("order_details", owner="user_id"),
    lambda scope, _: (_DETAILS, whose(scope)),
)
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
        description="Words, each a prefix of one in the order's number, customer name or item names; where no order has "
        "them all, words of four letters and more may be misspelled.",
    )


@router.get(DETAILS.path, response_model=OrderDetails)
async def order_details(request: Request, id: str, headers: Headers, min_version: MinVersion = None) -> Response:
    """One order with customer, items, shipping, payment and timeline."""
    return await resource(request, DETAILS, id, headers, min_version)


@router.get("/users/{id}/orders", response_model=Items[OrderListItem])
def user_orders(request: Request, id: str, page: Annotated[OrderPage, Query()], headers: Headers) -> Response:
    """A user's orders, newest first."""
    state, key = request.app.state, key_of(id)
    filters = (
        Filter("m.user_id = %(user_id)s", {"user_id": key}),
        Filter("m.status = %(status)s", {"status": page.status}),
    )
    owner = Owner(model="user_profile", key=key)
    return listing(state.store, ITEMS, page, demand_of(headers, state.settings), filters, owner)


@router.get("/orders", response_model=Items[OrderListItem])
def orders(request: Request, page: Annotated[OrderSearch, Query()], headers: Headers) -> Response:
    """All orders that match, newest first."""
    state = request.app.state
    filters = (Filter("m.status = %(status)s", {"status": page.status}),)
    demand, found = demand_of(headers, state.settings), search(page.search)
    return listing(state.store, ITEMS, page, demand, filters, candidates=found)

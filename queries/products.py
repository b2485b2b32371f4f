"""Routes of products: the page of one, and the lists that pages of categories are made of."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from queries.access import Guarded
from queries.answers import products
from queries.answers.vocabulary import Items
from queries.documents import View
from queries.listings import Filter, Listing, Page, listing
from queries.resources import MinVersion, Resource, key_of, resource
from queries.tokens import Headers, demand_of

router = APIRouter(route_class=Guarded, tags=["products"])

PAGE = Resource("products", View("product_page", members=("seller",)))
SORTS = {
    "rating": Listing(model="product_card", sort="rating_falling", type="numeric", descending=False),
    "price": Listing(model="product_card", sort="price", type="numeric", descending=False),
    "newest": Listing(model="product_card", sort="created_at", type="timestamptz"),
}
NO_CATEGORY = 0  # the id of none


class ProductPage(Page):
    """Query parameters of lists of products."""

    category: str | None = Field(None, max_length=64, description="A category's id.")
    sort: Literal["rating", "price", "newest"] = Field(
        "newest", description="Rating falling with unrated last, price rising, or newest first."
    )


@router.get(PAGE.path, response_model=products.ProductPage)
async def product_page(request: Request, id: str, headers: Headers, min_version: MinVersion = None) -> Response:
    """One product with stock, ratings, latest reviews, seller, related products and price history."""
    return await resource(request, PAGE, id, headers, min_version)


@router.get("/products", response_model=Items[products.ProductCard])
def product_cards(request: Request, page: Annotated[ProductPage, Query()], headers: Headers) -> Response:
    """Products, of one category or all."""
    state = request.app.state
    category = None if page.category is None else key_of(page.category) or NO_CATEGORY
    filters = (Filter("m.category_id = %(category)s", {"category": category}),)
    return listing(state.store, SORTS[page.sort], page, demand_of(headers, state.settings), filters)

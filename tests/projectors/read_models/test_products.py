"""Products: the page and the card, as reviews, stock, prices, sellers and related products change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.projectors.read_models.shop import SHOP


def review(id: int, product: int, user: int, rating: int, minute: int = 0) -> str:
    return f"""insert into reviews (id, product_id, user_id, rating, body, created_at)
               values ({id}, {product}, {user}, {rating}, 'Does what it should.', '2026-02-01T10:{minute:02}:00Z')"""


def page_of(story: Any, id: int = 1) -> Any:
    """As it is answered: the seller stands beside the rest."""
    rows = story.then(f"select document, seller from read_models.product_page where id = {id}")
    return rows[0][0] | {"seller": rows[0][1]}


def test_a_product_without_a_history(story: Any) -> None:
    story.given()
    story.when(*SHOP)
    page = page_of(story)
    assert {name: page[name] for name in ("name", "description", "image_url", "category", "price", "currency")} == {
        "name": "Saw",
        "description": "Made to last.",
        "image_url": None,
        "category": "Tools",
        "price": "10.00",
        "currency": "USD",
    }
    assert (page["in_stock"], page["available"]) == (True, 3)
    assert (page["average_rating"], page["review_count"], page["latest_reviews"]) == (None, 0, [])
    assert page["rating_histogram"] == {"1": 0, "2": 0, "3": 0, "4": 0, "5": 0}
    assert page["seller"] == {"id": "1", "name": "Mill", "reputation": None, "review_count": 0, "product_count": 2}
    assert (page["related"], page["price_history"]) == ([], [])
    assert (page_of(story, 2)["in_stock"], page_of(story, 3)["available"]) == (False, 0)


def test_reviews_are_counted_averaged_and_told_of_the_seller(story: Any) -> None:
    story.given(*SHOP, review(1, 1, 1, 5), review(2, 1, 2, 4, minute=1), review(3, 2, 1, 1))
    story.when(review(4, 1, 3, 4, minute=2))
    page = page_of(story)
    assert (page["average_rating"], page["review_count"]) == (4.33, 3)
    assert page["rating_histogram"] == {"1": 0, "2": 0, "3": 0, "4": 2, "5": 1}
    assert [one["id"] for one in page["latest_reviews"]] == ["4", "2", "1"]
    assert page["latest_reviews"][0]["author"] == {"id": "3", "display_name": "mary"}
    mill = {"id": "1", "name": "Mill", "reputation": 3.5, "review_count": 4, "product_count": 2}
    assert page["seller"] == page_of(story, 2)["seller"] == mill
    card = story.document("product_card")
    assert (card["average_rating"], card["review_count"]) == (4.33, 3)
    assert story.then("select id from read_models.product_card order by rating_falling, id") == [(1,), (2,), (3,)]


def test_a_deleted_review_is_taken_back(story: Any) -> None:
    story.given(*SHOP, review(1, 1, 1, 5), review(2, 1, 2, 2))
    story.when("delete from reviews where id = 1")
    page = page_of(story)
    assert (page["average_rating"], page["review_count"]) == (2, 1)
    assert (page["rating_histogram"]["5"], page["seller"]["reputation"]) == (0, 2)
    story.when("delete from reviews")
    page = page_of(story)
    assert (page["average_rating"], page["latest_reviews"], page["seller"]["reputation"]) == (None, [], None)


def test_the_page_shows_the_latest_five_reviews_and_the_last_thirty_prices(story: Any) -> None:
    people = """insert into users (id, email, first_name, last_name, display_name)
                select n, n || '@example.com', 'A', 'B', 'u' || n from generate_series(4, 8) n"""
    story.given(*SHOP, people, *(review(n, 1, n, 3, minute=n) for n in range(1, 6)))
    story.when(
        review(6, 1, 6, 3, minute=59),
        review(7, 1, 7, 3, minute=0),
        """insert into price_changes (id, product_id, old_price, new_price, changed_at)
           select n, 1, n, n + 1, timestamptz '2026-03-01T00:00:00Z' + n * interval '1 hour'
             from generate_series(1, 33) n""",
    )
    page = page_of(story)
    assert [one["id"] for one in page["latest_reviews"]] == ["6", "5", "4", "3", "2"]
    assert page["review_count"] == 7
    assert [one["price"] for one in page["price_history"]] == [f"{n}.00" for n in range(34, 4, -1)]
    assert page["price_history"][0]["at"] == "2026-03-02T09:00:00.000000Z"


def test_related_products_follow_their_own_changes(story: Any) -> None:
    story.given(*SHOP, "insert into related_products values (1, 2), (1, 3)")
    story.when("update products set price = 12.5, version = 2 where id = 2", review(1, 3, 1, 4))
    assert page_of(story)["related"] == [
        {"id": "2", "name": "Axe", "price": "12.50", "average_rating": None},
        {"id": "3", "name": "Awl", "price": "30.00", "average_rating": 4},
    ]
    story.when("delete from related_products where related_id = 2")
    assert [one["id"] for one in page_of(story)["related"]] == ["3"]


@pytest.mark.parametrize("model", ["product_page", "product_card"])
def test_stock_category_and_price_are_shown_as_they_become(story: Any, model: str) -> None:
    story.given(*SHOP)
    story.when(
        "update stock set reserved = 5 where product_id = 1",
        "update categories set name = 'Hand tools' where id = 1",
        "update products set price = 9.99, version = 2 where id = 1",
    )
    shown = page_of(story) if model == "product_page" else story.document(model)
    assert (shown["in_stock"], shown["available"], shown["category"]) == (False, 0, "Hand tools")
    assert (shown["price"], shown["version"]) == ("9.99", 2)


def test_a_product_that_changes_hands_counts_for_its_new_seller(story: Any) -> None:
    story.given(*SHOP, review(1, 1, 1, 5), review(2, 3, 1, 1))
    story.when("update products set seller_id = 2 where id = 1", "update sellers set name = 'Smithy' where id = 2")
    smithy = {"id": "2", "name": "Smithy", "reputation": 3, "review_count": 2, "product_count": 2}
    assert page_of(story)["seller"] == page_of(story, 3)["seller"] == smithy
    mill = page_of(story, 2)["seller"]
    assert (mill["review_count"], mill["product_count"], mill["reputation"]) == (0, 1, None)


def test_a_reviewers_new_name_is_shown(story: Any) -> None:
    story.given(*SHOP, review(1, 1, 1, 5))
    story.when("update users set display_name = 'countess' where id = 1")
    assert page_of(story)["latest_reviews"][0]["author"]["display_name"] == "countess"


def test_a_sellers_figures_reach_pages_that_are_not_computed_anew(story: Any, store_rows: Any) -> None:
    story.given(*SHOP, review(1, 1, 1, 5))
    store_rows(
        'update read_models.product_page set document = document || \'{"name": "untouched"}\' where id = 2 returning 1'
    )
    story.when(review(2, 1, 2, 3))
    page = page_of(story, 2)
    assert (page["name"], page["seller"]["review_count"], page["seller"]["reputation"]) == ("untouched", 2, 4)


def test_a_seller_that_comes_goes_and_comes_again(story: Any, serving: Any) -> None:
    story.given(*SHOP, "alter table products drop constraint products_seller_id_fkey")
    story.when("delete from sellers where id = 1")
    assert story.then("select id from read_models.product_page order by id") == [(3,)]
    story.when("insert into sellers (id, name) values (1, 'New mill')")
    assert page_of(story)["seller"]["name"] == "New mill"
    story.when("update sellers set id = 9 where id = 1", "update products set seller_id = 9 where id = 1")
    assert story.then("select id, seller->>'id' from read_models.product_page order by id") == [(1, "9"), (3, "2")]

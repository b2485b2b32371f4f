"""What a broken constraint of the write schema means to a client.

The database checks these rules at the moment that counts; asking first would be a race and a round trip. A constraint
that is not named here guards against our own mistakes, and breaking it is a failure of the server.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from psycopg.errors import IntegrityError

from writer.problems import ALREADY_REVIEWED, TAKEN, Kind, Problem, unknown

_REFERENCES = {
    "comments_author_id_fkey": "user",
    "comments_post_id_fkey": "post",
    "follows_followee_id_fkey": "user",
    "follows_follower_id_fkey": "user",
    "posts_author_id_fkey": "user",
    "products_category_id_fkey": "category",
    "products_seller_id_fkey": "seller",
    "related_products_related_id_fkey": "product",
    "reviews_product_id_fkey": "product",
    "reviews_user_id_fkey": "user",
}

_TAKEN: dict[str, tuple[Kind, str, str]] = {
    "products_sku_key": (TAKEN, "/sku", "another product has this sku"),
    "reviews_product_id_user_id_key": (ALREADY_REVIEWED, "/user_id", "this user has reviewed this product"),
    "users_email_key": (TAKEN, "/email", "another user has this email"),
}


@contextmanager
def constraints_explained() -> Generator[None]:
    """Turn the breach of a constraint that a client can cause into its `Problem`."""
    try:
        yield
    except IntegrityError as error:
        raise _explained(error) from error


def _explained(error: IntegrityError) -> Exception:
    name = error.diag.constraint_name or ""
    if what := _REFERENCES.get(name):
        return unknown(what)
    if name in _TAKEN:
        kind, pointer, message = _TAKEN[name]
        return Problem(kind, message, errors=[{"pointer": pointer, "message": message}])
    return error
